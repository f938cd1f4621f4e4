"""One frozen tree of settings, read once, at the command line.

Four layers, the later wins: the defaults below, ``adx-lab.toml`` in the home folder, ``ADX_LAB_*`` in the
environment (``ADX_LAB_LOAD_RATE_PER_S=200`` is ``load.rate_per_s``), and flags. An unknown name is refused
with the nearest known one, since a misspelt setting that is silently ignored makes a wrong measurement. What
was resolved is saved in each run.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from adx_lab.errors import UsageError
from adx_lab.secrecy import remember_named, remember_url, remember_webhook

URLS = (("database", "url"), ("valkey", "url"), ("store", "url"), ("load", "base_url"))
"""Settings that are URLs: each can hold a password."""

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that holds the package: a checkout, or where it was installed."""

_PACKED = Path(__file__).resolve().parent / "shipped"
SHIPPED = _PACKED if _PACKED.is_dir() else CHECKOUT
"""Where notebooks, locustfiles and the tracked files of ``data`` lie: a wheel brings them in the package."""

PREFIX = "ADX_LAB_"


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PostgreSQL under the service. With ``url`` the lab starts none and uses that one."""

    url: str | None = None
    shared_buffers_mb: int = 256
    max_connections: int = 300


class ValkeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Valkey under the service. With ``url`` the lab starts none and uses that one."""

    url: str | None = None
    max_memory_mb: int = 256


class CoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """ADX Core as the lab starts it; ``env`` is handed to it as it is (``ADX_CORE_*``)."""

    host: str = "127.0.0.1"
    port: int = 0
    workers: int = 1
    rules_off: str = ""
    env: dict[str, str] = {}


class DatasetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The made data set: the same seed and scale give the same rows."""

    scale: Literal["small", "standard", "large"] = "small"
    seed: int = 42


class LoadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the load is driven."""

    rate_per_s: float = 200.0
    duration_s: float = 30.0
    warmup_s: float = 5.0
    users: int = 100
    workers: int = 1
    seed: int = 1
    base_url: str | None = None
    timeout_s: float = 30.0


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where runs are kept. ``url`` is SQLAlchemy's; None is SQLite in the data folder."""

    url: str | None = None


class NotebookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How notebooks are executed."""

    cell_timeout_s: int = 120


class NightSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a night does besides measuring.

    ``webhook_url`` is sent each verdict as JSON. Runs and reports older than ``keep_days`` are removed after
    a night, but never those of the baseline's commit; 0 keeps all.
    """

    webhook_url: str | None = None
    keep_days: int = 60


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set.

    ``home`` holds what is measured, in ``data/``; its own ``notebooks/`` and ``locustfiles/`` win over those
    that are shipped.
    """

    home: str = str(CHECKOUT)
    data: str = "data"
    database: DatabaseSettings = DatabaseSettings()
    valkey: ValkeySettings = ValkeySettings()
    core: CoreSettings = CoreSettings()
    dataset: DatasetSettings = DatasetSettings()
    load: LoadSettings = LoadSettings()
    store: StoreSettings = StoreSettings()
    notebook: NotebookSettings = NotebookSettings()
    night: NightSettings = NightSettings()

    @property
    def home_dir(self) -> Path:
        """The home folder, absolute."""
        return Path(self.home).expanduser().resolve()

    @property
    def data_dir(self) -> Path:
        """Where runs, reports and the embedded stack are kept."""
        return self.home_dir / self.data

    @property
    def notebooks_dir(self) -> Path:
        """The notebooks: the home's own, or those that are shipped."""
        own = self.home_dir / "notebooks"
        return own if own.is_dir() else SHIPPED / "notebooks"

    @property
    def budgets_file(self) -> Path:
        """The budgets: the home's own, or those that are shipped."""
        own = self.data_dir / "budgets.toml"
        return own if own.is_file() else SHIPPED / "data" / "budgets.toml"

    def scenario_files(self) -> dict[str, Path]:
        """Return the locustfiles by their names: the shipped ones, and the home's own, which win."""
        folders = (SHIPPED / "locustfiles", self.home_dir / "locustfiles")
        return {file.stem: file for folder in folders for file in sorted(folder.glob("*.py"))}

    @property
    def runs_dir(self) -> Path:
        """One folder a run."""
        return self.data_dir / "runs"

    @property
    def reports_dir(self) -> Path:
        """One folder a report."""
        return self.data_dir / "reports"

    @property
    def stack_dir(self) -> Path:
        """State and logs of the embedded stack."""
        return self.data_dir / "stack"

    @property
    def store_url(self) -> str:
        """The run store's SQLAlchemy URL."""
        return self.store.url or f"sqlite:///{self.data_dir / 'runs.sqlite'}"


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
    home = Path(str(given.get("home") or env.get(f"{PREFIX}HOME") or _usual_home()))
    if not home.expanduser().is_dir():
        raise UsageError(f"the home folder {home} does not exist", mend=f"create it or correct {PREFIX}HOME")
    tree: dict[str, Any] = {}
    for source, name, value in _layers(home, env, given):
        _place(tree, name, value, source)
    return _with_secrets_known(_converted(tree | {"home": str(home)}))


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
    return _with_secrets_known(_converted(tree))


def known_names(kind: type[msgspec.Struct] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every setting's dotted name."""
    for item in msgspec.structs.fields(kind):
        if isinstance(item.type, type) and issubclass(item.type, msgspec.Struct):
            yield from known_names(item.type, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}"


def _with_secrets_known(settings: Settings) -> Settings:
    """Return the settings; from here on no message of this process quotes a secret of theirs."""
    for section, name in URLS:
        remember_url(getattr(getattr(settings, section), name))
    remember_webhook(settings.night.webhook_url)
    remember_named(settings.core.env)
    return settings


def _converted(tree: Mapping[str, Any]) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"a setting has a wrong value: {error}") from error


def _layers(
    home: Path, env: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    file = home / "adx-lab.toml"
    if file.is_file():
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from error
        for name, value in _flatten(document):
            yield str(file), name, value
    by_variable = {PREFIX + name.replace(".", "_").upper(): name for name in known_names()}
    for variable, value in sorted(env.items()):
        if variable.startswith(PREFIX):
            yield "the environment", by_variable.get(variable, variable), value
    for name, value in flags.items():
        yield "the command line", name, value


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" != "core.env":
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _place(tree: dict[str, Any], name: str, value: object, source: str) -> None:
    known = tuple(known_names())
    if name not in known:
        candidates = known
        if name.startswith(PREFIX):
            candidates = tuple(PREFIX + item.replace(".", "_").upper() for item in known)
        near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.4)
        mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise UsageError(f"unknown setting {name} in {source}", mend=mend)
    *sections, leaf = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[leaf] = value
