"""Reads the settings: which files there are, and which layer wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.errors import UsageError, nearest
from adx_lab.secrecy import remember_named, remember_url, remember_webhook
from adx_lab.settings.budgets import read_budgets
from adx_lab.settings.checking import converted
from adx_lab.settings.tree import CHECKOUT, SHIPPED, URLS, Settings

FILE = "adx-lab.toml"
PREFIX = "ADX_LAB_"
_BUCKET_KEYS = ("AWS_", "AZURE_", "GOOGLE_")
_OURS = frozenset({"home", "project_file"})
REFERENCE_FILE = CHECKOUT / "adx_lab" / "services" / "reference" / FILE
"""The reference core, described as any other service is."""


def read_settings(
    environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Resolve defaults, file, environment and flags into one frozen tree.

    Parameters
    ----------
    environ
        The environment; ``os.environ`` where left out. Names that don't begin with ``ADX_LAB_`` are ignored.
    flags
        Dotted names with values, as ``{"load.rate_per_s": 200}``; None values are ignored.

    Raises
    ------
    UsageError
        An unknown name, a value of the wrong type, or a file that isn't TOML.
    """
    env = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    named = given.get("home") or env.get(f"{PREFIX}HOME")
    file = _find_file(None if named is None else Path(str(named)).expanduser())
    home = Path(str(named)) if named else file.parent if file else _usual_home()
    if not home.expanduser().is_dir():
        raise UsageError(f"the home folder {home} does not exist", mend=f"create it or correct {PREFIX}HOME")
    tree: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, name, value in _layers(file, env, given):
        _place(tree, name, value, source)
        sources[name] = source
    if file is not None and "budget" in tree:
        read_budgets(file, "")  # whose words for what is wrong know the place
    places = {"home": str(home), "project_file": None if file is None else str(file)}
    _place_certificate(tree, file)
    return _with_secrets_known(converted(tree | places, sources))


def _place_certificate(tree: Mapping[str, Any], file: Path | None) -> None:
    """See the file of a certificate from the project file, as its other paths are."""
    service = tree.get("service", {})
    if file is not None and isinstance(service.get("ca"), str):
        service["ca"] = str(file.parent / service["ca"])


def _find_file(home: Path | None) -> Path | None:
    """Return the project file of a home, or the next one upwards from where one stands."""
    # A link that leads nowhere, or a folder of that name, is read and refused: without it another service
    # would be measured.
    if home is not None and os.path.lexists(home / FILE):
        return (home / FILE).resolve()
    here = Path.cwd()
    return next((folder / FILE for folder in (here, *here.parents) if os.path.lexists(folder / FILE)), None)


def _usual_home() -> Path:
    """Return the checkout, or, where the package was installed, the folder that one stands in."""
    return CHECKOUT if SHIPPED == CHECKOUT else Path.cwd()


def override(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return the settings with some changed, by their dotted names.

    Raises
    ------
    UsageError
        A name is unknown, or a value has the wrong type.
    """
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    for name, value in changes.items():
        _place(tree, name, value, "the call")
    return _with_secrets_known(converted(tree, dict.fromkeys(changes, "the call")))


def known_names(kind: type[msgspec.Struct] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every setting's dotted name."""
    yield from _known(kind, prefix)


def _known(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, Any]:
    """Return the type of every setting by its dotted name; a table of free keys is one setting."""
    found: dict[str, Any] = {}
    for item in msgspec.structs.fields(kind):
        if isinstance(item.type, type) and issubclass(item.type, msgspec.Struct):
            found |= _known(item.type, f"{prefix}{item.name}.")
        elif item.name not in _OURS:
            found[f"{prefix}{item.name}"] = item.type
    return found


def _with_secrets_known(settings: Settings) -> Settings:
    """Return the settings; from here on no message of this process quotes a secret of theirs."""
    for section, name in URLS:
        remember_url(getattr(getattr(settings, section), name))
    remember_url(settings.service.url)
    remember_url(settings.service.database.url)
    remember_webhook(settings.night.webhook_url)
    remember_named(settings.service.start.env)
    if settings.store.runs_url is not None:
        keys = {name: value for name, value in os.environ.items() if name.startswith(_BUCKET_KEYS)}
        remember_named(keys)
    return settings


def _layers(
    file: Path | None, env: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    document = {} if file is None else _read(file)
    if not _describes(document):
        for name, value in _flatten(_read(REFERENCE_FILE)):
            yield str(REFERENCE_FILE), name, value
    elif file is not None and not document["service"].get("name"):
        yield str(file), "service.name", file.parent.name
        document = {**document, "service": {**document["service"], "name": file.parent.name}}
    for name, value in _flatten(document):
        yield str(file), name, value
    by_variable = {PREFIX + name.replace(".", "_").upper(): name for name in known_names()}
    for variable, value in sorted(env.items()):
        if variable.startswith(PREFIX) and variable != f"{PREFIX}HOME":
            yield "the environment", by_variable.get(variable, variable), value
    for name, value in flags.items():
        if name != "home":
            yield "the command line", name, value


def _read(file: Path) -> Mapping[str, Any]:
    try:
        # Some editors begin a file with a mark of its encoding.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}", mend="mend its rights") from error


def _describes(document: Mapping[str, Any]) -> bool:
    """Tell whether a file describes a service of its own, or only sets something of the reference core's."""
    service = document.get("service")
    if not isinstance(service, Mapping):
        return False
    start = service.get("start")
    started = isinstance(start, Mapping) and "command" in start
    return started or bool(service.keys() & {"name", "url"})


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    known = _known(Settings)
    tables = {name for name, kind in known.items() if str(kind).startswith("dict")}
    for key, value in document.items():
        is_section = value or any(name.startswith(f"{prefix}{key}.") for name in known)
        if isinstance(value, Mapping) and f"{prefix}{key}" not in tables and is_section:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _mend(name: str, known: Sequence[str]) -> str:
    """Return the mend of a name that nobody knows: a table that was written as a value, or what is near."""
    if name.startswith("budget."):
        return "each budget begins with [[budget]], in two brackets"
    below = [other for other in known if other.startswith(f"{name}.")]
    return f"it is a table: [{name}]" if below else nearest(name, known)


def _place(tree: dict[str, Any], name: str, value: object, source: str) -> None:
    known = tuple(known_names())
    if name not in known:
        variables = name.startswith(PREFIX)
        candidates = [PREFIX + item.replace(".", "_").upper() for item in known] if variables else known
        raise UsageError(f"unknown setting {name} in {source}", mend=_mend(name, candidates))
    *sections, leaf = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    earlier = tree.get(leaf)
    both = isinstance(earlier, dict) and isinstance(value, Mapping)
    tree[leaf] = {**earlier, **value} if both else value  # type: ignore[dict-item]
