"""Whether what was set can be: each value of its type and range, each text one that means something.

A message names the setting, where it was set, what stands there and what can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from adx_lab.errors import UsageError
from adx_lab.secrecy import shown_url
from adx_lab.settings.service import ServiceSettings
from adx_lab.settings.tree import Settings

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
"""Where a converter says that it found something wrong."""

_OPEN = re.compile(r"(?<!\$)\{(?:port|host|database_url|database|valkey_url)(?!\w*\})")

_KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_NAME_MAX = 80
_BUCKETS = frozenset({"s3", "gs", "az"})
_RUNS_URL = "write it as file:///share/runs, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


def converted(tree: Mapping[str, Any], sources: Mapping[str, str]) -> Settings:
    """Return the settings of a tree of plain values.

    Parameters
    ----------
    sources
        Where each was set, by its dotted name.

    Raises
    ------
    UsageError
        A value is of the wrong type, out of its range, or means nothing.
    """
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(_in_words(str(error), tree, sources)) from error
    for name, wrong, mend in (
        *_empty(settings, sources),
        *_faults(settings.service),
        *_of_parts(settings.service),
        *_runs_url_faults(settings.store.runs_url),
    ):
        raise UsageError(f"{name}{_where(name, sources)} {wrong}", mend=mend)
    return settings


def _in_words(said: str, tree: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    found = _PLACE.search(said)
    if found is None:
        return f"a setting has a wrong value: {said}"
    name = re.sub(r"\[[^\]]*\]", "", found[1])
    value: Any = tree
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    shown = f" is {value!r}" if isinstance(value, (str, int, float)) else " is wrong"
    return f"{name}{_where(name, sources)}{shown}: {expected_of(said)}"


def expected_of(said: str) -> str:
    """Return in words what a converter expected, and what it got."""
    told = re.sub(r"`(\w+)(?: \| \w+)*`", lambda kind: _KINDS.get(kind[1], kind[0]), _PLACE.sub("", said))
    return f"{told[:1].lower()}{told[1:]}"


def _where(name: str, sources: Mapping[str, str]) -> str:
    return f" in {sources[name]}" if name in sources else ""


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half of a bracket
        return False


def _empty(settings: Settings, sources: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what somebody named, and left empty."""
    for name, text in (
        ("service.start.command", settings.service.start.command),
        ("baseline.ref", settings.baseline.ref),
    ):
        if name in sources and text is not None and not text.strip():
            yield name, "is empty", "leave it out, or fill it in"


def _faults(service: ServiceSettings) -> Iterator[tuple[str, str, str]]:
    """Yield what means nothing: the setting, what is wrong with it, the mend."""
    for name, text in (("service.name", service.name), ("service.environment", service.environment)):
        if len(text) > _NAME_MAX or text != text.strip() or not text.isprintable():
            yield name, f"is {text!r}", "take a short name of one line"
    if not service.environment:
        yield "service.environment", "is empty", "leave it out, or name it: staging-eu"
    if service.url is not None and not (service.url.startswith("$") or _is_address(service.url)):
        yield "service.url", f"is {service.url}", "write it as http://127.0.0.1:8080"
    for name in ("ready", "metrics"):
        path = service.start.ready if name == "ready" else service.metrics
        if path and not path.startswith("/"):
            place = "service.start.ready" if name == "ready" else "service.metrics"
            yield place, f"is {path!r}, which is no path", f"write it as /{path}"
    request = service.login.request
    if request and not re.fullmatch(r"[A-Za-z]+ /\S*", request):
        yield "service.login.request", f"is {request!r}", 'say method and path: "POST /auth/token"'
    if service.login.form and service.login.json:
        yield "service.login.form", "stands beside service.login.json", "send one of them"


def _of_parts(service: ServiceSettings) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with how it is started, and with its database."""
    start = service.start
    commands = {"command": start.command, **{f"env.{name}": text for name, text in start.env.items()}}
    for name, text in commands.items():
        if (word := _OPEN.search(text)) is not None:
            place = f"service.start.{name}"
            yield place, f"has {word[0]} without its other brace", f"write it as {word[0]}}}"
    scheme, there, _ = (service.database.url or "").partition("://")
    if there and scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        other = f"is of {scheme}: statements and plans are read from PostgreSQL only"
        yield "service.database.url", other, "leave it out: times, counts and failures are judged without it"
    if service.database.prepare and service.database.url:
        both = "stands beside service.database.prepare"
        yield "service.database.url", both, "name a database that is up, or prepare one here"


def shared_folder(runs_url: str) -> Path | None:
    """Return the folder that a ``store.runs_url`` names; None where it names a bucket."""
    parts = urlsplit(runs_url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _runs_url_faults(url: str | None) -> Iterator[tuple[str, str, str]]:
    if url is None:
        return
    name, place = "store.runs_url", f"is {shown_url(url)}"
    try:
        parts = urlsplit(url)
    except ValueError:
        yield name, place, _RUNS_URL
        return
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    if not is_folder and (parts.scheme not in _BUCKETS or not parts.netloc):
        yield name, place, _RUNS_URL
    elif parts.query or parts.fragment or "@" in parts.netloc:
        yield name, f"{place}: it names more than a place", "keys come from the environment (AWS_*, …)"
