"""What is secret, and how it is kept out of everything that the lab writes, prints or sends.

Two nets. `shown_url` takes the secret parts out of a URL by its form, wherever a URL is shown or stored. And
every value that was met in a setting is remembered (`remember`), so that `scrub` takes it out of any text: a
driver's error message quotes whatever it likes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

HIDDEN = "***"

_PARTS = (
    "passw|passphrase|passwd|pwd|secret|token|credential|signature|authorization"
    "|(?:api|access|account|sas|private)[_-]?key"
)
_NAME = rf"(?:[\w.-]*(?:{_PARTS})[\w.-]*|auth|pass|key|sig)"
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_WORDS = re.compile(rf"(?<![\w.-])({_NAME})(\s*=\s*)('(?:\\.|[^'\\])*'|[^\s&;#]*)", re.IGNORECASE)
"""A name and its value, in a query string or among libpq's words."""

_ACCOUNTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<scheme>[A-Za-z][\w+.-]*://)?(?P<account>[^/?#\s]*)@",
        # Where a password holds what nobody escaped, too much is kept back rather than too little.
        r"(?P<scheme>(?!http)[A-Za-z][\w+.-]*://)(?P<account>\S*)@",
        r"(?P<scheme>https?://)(?P<account>[^/?#@:\s]*:(?!\d*[/?#])\S*)@",
    )
)

_SHORTEST = 4
"""Of what `scrub` takes out of any text: a shorter value is found by its place in a URL only."""

_PLAIN = re.compile(r"[a-z]{1,8}|[\d.]{1,8}")
"""A secret like any word: to take `postgres` or 3600 out of every text would ruin reports and hide little."""

_TEXTS = frozenset({".html", ".ipynb", ".json", ".log", ".md", ".xml", ".csv"})

_known: set[str] = set()
_plain: set[str] = set()


def shown_url(url: str) -> str:
    """Return a URL of any form, or libpq's words, as anybody may see it: without password and token."""
    found = _account(url)
    if found is not None:
        scheme, account = found["scheme"] or "", found["account"]
        name = "" if scheme.startswith("http") else account.split(":", 1)[0]
        url = f"{scheme}{name or HIDDEN}@{url[found.end() :]}"
    return _WORDS.sub(lambda match: f"{match[1]}{match[2]}{HIDDEN}", url)


def shown_webhook(url: str) -> str:
    """Return the address of a webhook as anybody may see it: its path is what lets one post."""
    host = _host(url)
    return f"{host}/{HIDDEN}" if host else HIDDEN


def is_secret_name(name: str) -> bool:
    """Tell whether a value of this name is nobody's business."""
    return _SECRET_NAME.fullmatch(name) is not None


def remember(*values: str | None) -> None:
    """Remember secrets as they are, so that `scrub` knows them."""
    for value in values:
        if value and _PLAIN.fullmatch(value):
            _plain.add(value)
        elif value is not None and len(value) >= _SHORTEST:
            _known.update(_forms(value))


def _forms(secret: str) -> set[str]:
    """Return how a secret stands in a URL, in JSON, in a page and in XML."""
    escaped = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    as_json = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    as_page = {
        escaped.replace('"', quoted).replace("'", single)
        for quoted in ('"', "&quot;", "&#34;")
        for single in ("'", "&#x27;", "&#39;")
    }
    return {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), *as_json, *as_page}


def remember_url(url: str | None) -> None:
    """Remember what is secret of a URL."""
    if not url:
        return
    found = _account(url)
    if found is not None:
        name, colon, password = found["account"].partition(":")
        secret = password if colon else (name if url.startswith("http") else "")
        remember(secret, unquote(secret))
        if colon and url.startswith("http"):
            remember(name, unquote(name))
    for match in _WORDS.finditer(url):
        value = match[3].strip("'")
        remember(value, unquote_plus(value))


def remember_webhook(url: str | None) -> None:
    """Remember the path and the query of a webhook."""
    if url:
        remember_url(url)
        host = _host(url)
        path = url.removeprefix(host).strip("/") if host else url
        remember(path)


def remember_named(values: Mapping[str, str]) -> None:
    """Remember those of a mapping whose names say that they are secret, and what is secret of its URLs."""
    for name, value in values.items():
        if is_secret_name(name):
            remember(value)
        remember_url(value)


def shown_named(values: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping as anybody may see it."""
    return {name: HIDDEN if is_secret_name(name) else shown_url(value) for name, value in values.items()}


def scrub(text: str) -> str:
    """Return a text without any secret that this process has met; a plain word only where it is named one."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if _plain:
        any_of = "|".join(map(re.escape, _plain))
        text = re.sub(rf":(?:{any_of})@", f":{HIDDEN}@", text)
        named = rf"((?:{_PARTS})[\w.-]*[\"']?\s*[=:]\s*[\"']?)(?:{any_of})(?!\w)"
        text = re.sub(named, rf"\g<1>{HIDDEN}", text, flags=re.IGNORECASE)
    return text


def scrubbed(value: Any) -> Any:
    """Return plain data (mappings, lists, texts) without any secret that this process has met."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {name: scrubbed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def scrub_files(folder: Path) -> None:
    """Take every secret that this process has met out of the texts in a folder."""
    for path in folder.rglob("*") if _known or _plain else ():
        if path.suffix in _TEXTS and path.is_file() and not path.is_symlink():
            scrub_file(path)


def scrub_file(path: Path) -> None:
    """Take every secret that this process has met out of a text that nobody writes any more."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    clean = scrub(text)
    if clean != text:
        path.write_text(clean, encoding="utf-8", errors="surrogateescape")


def _account(url: str) -> re.Match[str] | None:
    matches = (pattern.match(url) for pattern in _ACCOUNTS)
    return next((match for match in matches if match), None)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # no URL at all: then all of it is kept back
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""
