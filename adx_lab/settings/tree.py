"""The lab's own settings and their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from adx_lab.settings.service import (
    BaselineSettings,
    BudgetSettings,
    Count,
    Natural,
    NotNegative,
    Positive,
    ServiceSettings,
)

CHECKOUT = Path(__file__).resolve().parent.parent.parent
"""The folder that holds the package: a checkout, or where it was installed."""

_PACKED = Path(__file__).resolve().parent.parent / "shipped"
SHIPPED = _PACKED if _PACKED.is_dir() else CHECKOUT
"""Where notebooks, locustfiles and the tracked files of ``data`` lie: a wheel brings them in the package."""


URLS = (
    *(("database", "url"), ("valkey", "url"), ("load", "base_url")),
    *(("store", "url"), ("store", "runs_url")),
)
"""Settings that are URLs: each can hold a password."""

REFERENCE = "adx-core"
"""The name in the reference core's own project file."""


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PostgreSQL under the service. With ``url`` the lab starts none and uses that one."""

    url: str | None = None
    shared_buffers_mb: Count = 256
    max_connections: Count = 300


class ValkeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Valkey under the service. With ``url`` the lab starts none and uses that one."""

    url: str | None = None
    max_memory_mb: Count = 256


class DatasetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The made data set: the same seed and scale give the same rows."""

    scale: Literal["small", "standard", "large"] = "small"
    seed: int = 42


class LoadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the load is driven."""

    rate_per_s: Positive = 200.0
    duration_s: Positive = 30.0
    warmup_s: NotNegative = 5.0
    users: Count = 100
    workers: Count = 1
    seed: int = 1
    base_url: str | None = None
    timeout_s: Positive = 30.0
    locustfile: str = ""
    spawn_per_s: Positive | None = None
    arguments: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where runs are kept, besides their folders here.

    ``url`` is that of their rows, SQLAlchemy's; None is SQLite in the data folder. ``runs_url`` is where a
    team shares the runs themselves: ``file:///…``, ``s3://…``, ``gs://…`` or ``az://…``; keys come from the
    environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``). None shares nothing.
    """

    url: str | None = None
    runs_url: str | None = None


class NotebookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How notebooks are executed."""

    cell_timeout_s: Count = 120


class NightSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a night does besides measuring.

    ``webhook_url`` is sent each verdict as JSON. Runs and reports older than ``keep_days`` are removed after
    a night, but never those of the baseline's commit; 0 keeps all. A thorough night that is ``regressed``
    looks for the guilty commit for at most ``bisect_s``; 0 leaves that to ``adx-lab bisect``.
    """

    webhook_url: str | None = None
    keep_days: Natural = 60
    bisect_s: NotNegative = 900.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set.

    ``home`` holds what is measured, in ``data/``; its own ``notebooks/`` and ``locustfiles/`` win over those
    that are shipped.
    """

    home: str = str(CHECKOUT)
    data: str = "data"
    database: DatabaseSettings = DatabaseSettings()
    valkey: ValkeySettings = ValkeySettings()
    service: ServiceSettings = ServiceSettings()
    dataset: DatasetSettings = DatasetSettings()
    load: LoadSettings = LoadSettings()
    store: StoreSettings = StoreSettings()
    notebook: NotebookSettings = NotebookSettings()
    night: NightSettings = NightSettings()
    baseline: BaselineSettings = BaselineSettings()
    budget: tuple[BudgetSettings, ...] = ()
    project_file: str | None = None
    """The ``adx-lab.toml`` that was read; set by the reader."""

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
    def key(self) -> tuple[str, str]:
        """Service and environment: with the scenario what history, baseline and trends go by."""
        return self.service.name or REFERENCE, self.service.environment

    @property
    def source_dir(self) -> Path:
        """The service's source: seen from the project file, or the lab itself for the reference core."""
        return (self.project_dir / self.service.start.source).resolve()

    @property
    def queries_dir(self) -> Path | None:
        """The named queries of the service's source; None where it names none."""
        named = self.service.queries
        return self.source_dir / named if named else None

    @property
    def project_dir(self) -> Path:
        """The folder from which a project file's paths are seen."""
        return Path(self.project_file).parent if self.project_file and not self.is_reference else CHECKOUT

    @property
    def is_reference(self) -> bool:
        """Whether no other service than the one in the package is described."""
        return self.service.name in {REFERENCE, ""}

    @property
    def budgets_file(self) -> Path | None:
        """The project file, where it holds budgets; of the reference core the home's, or the shipped."""
        if self.budget and self.project_file:
            return Path(self.project_file)
        if not self.is_reference:
            return None
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
