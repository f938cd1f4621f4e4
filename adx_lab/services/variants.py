"""Variants: ways to build a service, read from what a person types.

``HEAD`` or any git ref, ``.`` for the working tree, a URL (``URL+database=URL`` to look inside); and
behind a tree any number of ``+name=value``:

- a switch of the service, ``off`` or ``on``: ``.+cache.l1=off``;
- a setting of it: ``.+pool.max=5``;
- a variable of its environment: ``.+env.POOL_SIZE=5``;
- ``patch=FILE``: a copy of the tree with a patch applied;
- ``sql=FILE``: statements executed in the variant's own clone of the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.errors import UsageError, nearest
from adx_lab.records.documents import digest
from adx_lab.records.run import Caveat
from adx_lab.secrecy import (
    HIDDEN,
    is_secret_name,
    remember_named,
    remember_url,
    shown_named,
    shown_url,
)
from adx_lab.services.attached import postgres_url
from adx_lab.services.sources import (
    SourceTree,
    export_ref,
    patched,
    same_lock,
    trees_folder,
    working_tree,
)
from adx_lab.services.starting.start import StartOrder, expanded
from adx_lab.services.switches import SwitchList, ask_switches
from adx_lab.settings import ServiceSettings, Settings, StartSettings

_OPTION = re.compile(r"\+(?=[\w.]+=)")
_FILES = ("patch", "sql")
_ENVIRONMENT = "env."
_DATABASE = "+database="


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build the service, ready to be started.

    Attributes
    ----------
    text
        As a person wrote it.
    url
        Where it runs already; then there is no tree.
    tree
        Its source.
    service
        How it is started: switches that are off, environment.
    statements
        SQL to be executed in its clone.
    resolved
        Every switch and setting, by dotted name.
    caveats
        Reasons to doubt a comparison with it.
    database_url
        Of a URL, where its database may be looked at.
    """

    text: str
    url: str | None = None
    tree: SourceTree | None = None
    service: ServiceSettings = field(default_factory=ServiceSettings)
    statements: str = ""
    resolved: Mapping[str, str] = field(default_factory=dict)
    caveats: tuple[Caveat, ...] = ()
    database_url: str | None = None

    @property
    def start(self) -> StartSettings:
        """How it is started."""
        return self.service.start

    @property
    def identity(self) -> str:
        """A digest of all that decides how it behaves: equal for equal variants."""
        if self.tree is None:
            return digest(["url", self.url])
        start = self.start
        started = [start.command, start.workers, sorted(start.switches_off.split(",")), dict(start.env)]
        return digest([self.tree.fingerprint, started, self.statements])

    @property
    def queries_folder(self) -> Path | None:
        """The named queries of its source; None where it has none."""
        named = self.service.queries
        return self.tree.path / named if self.tree and named else None

    def describe(self) -> dict[str, Any]:
        """Return what a run's record keeps of it."""
        return {
            "text": shown_variant(self.text),
            "url": self.url and shown_url(self.url),
            "commit": self.tree.commit if self.tree else None,
            "changed": self.tree.changed if self.tree else None,
            "lines": self.tree.lines if self.tree else "",
            "paths": list(self.tree.identity) if self.tree else [],
            "fingerprint": self.tree.fingerprint if self.tree else None,
            "rules_off": self.start.switches_off,
            "env": shown_named({k: value for k, value in self.start.env.items() if "{" not in value}),
            "statements": self.statements,
            "identity": self.identity,
            "resolved": {
                name: HIDDEN if name.startswith(_ENVIRONMENT) and is_secret_name(name) else value
                for name, value in self.resolved.items()
            },
        }


def shown_variant(text: str) -> str:
    """Return how a variant was asked for, as anybody may see it."""
    if re.match(r"https?://", text):
        return _DATABASE.join(map(shown_url, text.split(_DATABASE, 1)))
    name, *options = _OPTION.split(text)
    pairs = [option.partition("=") for option in options]
    shown = ((key, HIDDEN if is_secret_name(key) else shown_url(value)) for key, _, value in pairs)
    return "".join((name, *(f"+{key}={value}" for key, value in shown)))


def read_variant(text: str, settings: Settings) -> Variant:
    """Read one variant and find its source.

    Raises
    ------
    UsageError
        The ref, a switch, a setting or a file is unknown, or a value can't be one; or the service can't be
        started at all, since its project file does not say how.
    """
    if re.match(r"https?://", text):
        url, _, database_url = text.partition(_DATABASE)
        remember_url(url)
        remember_url(database_url)
        database_url = postgres_url(expanded(database_url)) if database_url else ""
        return Variant(text, url.rstrip("/"), service=settings.service, database_url=database_url or None)
    name, *options = _OPTION.split(text)
    if not name:
        raise UsageError(f"{text!r} names no tree", mend="begin it with `.` or a git ref")
    start = settings.service.start
    if not start.command:
        raise UsageError(
            f"{text!r} can't be started: the project file does not say how",
            mend="give it [service.start] with a command, or compare two URLs",
        )
    folder = trees_folder(settings)
    working = working_tree(settings.source_dir, start)
    tree = working if name == "." else export_ref(settings.source_dir, name, folder, start)
    caveats: tuple[Caveat, ...] = ()
    if not start.build and not same_lock(tree, working):
        doubt = f"{name} asks for other libraries than those that are installed, and runs with these"
        caveats = (Caveat("lock", doubt),)
    pairs = [option.split("=", 1) for option in options]
    if any(len(pair) != 2 for pair in pairs):
        raise UsageError(f"{text!r} has an option without a value", mend="write it as .+name=value")
    files = [(key, Path(value)) for key, value in pairs if key in _FILES]
    statements = ""
    for kind, path in files:
        if kind == "patch":
            tree = patched(tree, path, folder, start)
        else:
            statements += _read(path)
    values = {key: value for key, value in pairs if key not in _FILES}
    remember_named(values)
    made, resolved = _configure(tree, settings, values)
    service = msgspec.structs.replace(settings.service, start=made)
    return Variant(text, None, tree, service, statements, resolved, caveats)


def order_of(
    variant: Variant, name: str, settings: Settings, *, database_url: str = "", valkey_url: str = ""
) -> StartOrder:
    """Return how a variant is started; ``name`` is its key prefix too."""
    assert variant.tree is not None
    return StartOrder(
        name,
        variant.service,
        variant.tree.path,
        settings.stack_dir,
        database_url,
        valkey_url,
        settings.dataset,
    )


def as_shipped(variant: Variant, settings: Settings) -> Variant:
    """Return a variant without its switches and settings: those are its own, not its data's."""
    return replace(variant, service=settings.service, statements="")


def _configure(
    tree: SourceTree, settings: Settings, values: Mapping[str, str]
) -> tuple[StartSettings, dict[str, str]]:
    """Sort options into switches, settings and variables, as the tree's own service knows them."""
    # Two are up at once: each takes a free port.
    start = msgspec.structs.replace(settings.service.start, port=0)
    known = ask_switches(tree, settings, start)
    off = {name for name in start.switches_off.split(",") if name}
    env = dict(start.env)
    for name, value in values.items():
        if name.startswith(_ENVIRONMENT):
            env[name.removeprefix(_ENVIRONMENT)] = value
        elif name in known.switches:
            if value not in {"on", "off"}:
                raise UsageError(f"{name} is a switch: it can be on or off, not {value}")
            off = off | {name} if value == "off" else off - {name}
        elif known.settable(name, start):
            env[variable_of(name, start)] = value
        else:
            raise UsageError(
                f"{settings.service.name} has no switch or setting {name}",
                mend=nearest(name, known.names(start)) or "adx-lab rules --list tells them",
            )
    env |= _lowered(start, known, values)
    made = msgspec.structs.replace(start, switches_off=",".join(sorted(off)), env=env)
    told = ask_switches(tree, settings, made) if values else known  # refuses a value that can't be
    resolved = {name: "on" if on else "off" for name, on in told.switches.items()}
    resolved |= {name: str(told.settings[name]) for name in told.settings if told.settable(name, start)}
    return made, resolved | {name: value for name, value in values.items() if name.startswith(_ENVIRONMENT)}


def variable_of(name: str, start: StartSettings) -> str:
    """Return the variable of a setting."""
    return start.setting_env.replace("{NAME}", name.replace(".", "_").upper())


def _lowered(start: StartSettings, known: SwitchList, values: Mapping[str, str]) -> dict[str, str]:
    """Return settings that go down with another: a pool of five asks for no least of ten."""
    found = {}
    for low, high in start.lowered.items():
        asked, now = values.get(high, ""), str(known.settings.get(low, ""))
        if asked.isdigit() and now.isdigit() and low not in values:
            found[variable_of(low, start)] = str(min(int(now), int(asked)))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error
