"""The record of a run: everything about it that is not a table, as ``run.json`` holds it.

A run is of one kind, and its audit says which: a load, a load that climbs step by step, or a duet. It has one
builder (`adx_lab.conduct.run.built`) and one reader (`adx_lab.store.folders`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

FORMAT = 2
"""Version of the run folder's layout: a reader refuses a larger number than its own.

1: ``audit`` was a bag, ``kind`` said what the run was made for. 2: the audit is typed and says the kind.
"""

Kind = Literal["load", "climb", "duet"]
Purpose = Literal["load", "nightly", "duet", "calibrate"]
"""What a run was made for: by hand, for a night, or to find out what verdicts are worth."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """A reason to doubt a number, stored with it and shown beside it."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured. ``database_url`` and ``valkey_url`` are None where the lab may not look inside."""

    base_url: str
    database_url: str | None = None
    valkey_url: str | None = None
    metrics_url: str | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The commit that was measured, and how many files differed from it; nulls outside of a repository."""

    commit: str | None = None
    subject: str | None = None
    changed_files: int | None = None


class LoadAudit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="load"):
    """What the load generator and the machine say of a load: whether it was what it claims to be.

    Attributes
    ----------
    began
        Seconds since the epoch at which the measured part began: the run's zero.
    requests, unanswered
        Measured requests that were answered or failed, and those without an answer by the end.
    warmup_requests, beside
        Requests outside of the measured part, all and by kind: the rows of ``beside.parquet``.
    failures, beside_failures, exceptions
        What failed and what tasks raised, counted by endpoint, status and reason.
    streams
        Of answers that are streams, by endpoint: how many were read to their end, and when that was.
    request_types
        Measured requests by what their client calls itself.
    users
        How many there were, each time that it changed: seconds and number.
    planned_s, ended_by, ended_early_s
        How long the load was to last (None: until it is stopped), who ended it, how much it fell short.
    locust
        What Locust itself counted, where it did.
    lost_requests
        How many could not be written down.
    process_exit_code
        What Locust ended with; a locustfile may choose it.
    pending_max
        The most arrivals that waited for an answer at once.
    blocked_s
        How long the schedule stood still because every connection was busy: the service's doing.
    schedule_lag_p99_ms
        How late requests left, counted from when they should have.
    clock_offset_max_ms
        How far a worker's clock was from the master's; the tables are corrected for it.
    schedule
        What the load was.
    steal_share, foreign_cpu_share
        What the hypervisor and other programs took of the machine meanwhile.
    waits
        What the database's clients waited for, ``kind: event``, and how often that was seen.
    observing
        What watching the database cost; None where it was not measured.
    deaths
        Every process that ended and should not have (`adx_lab.deaths.Death`).
    """

    began: float
    duration_s: float
    requests: int
    warmup_requests: int = 0
    unanswered: int = 0
    beside: dict[str, int] = {}
    failures: tuple[dict[str, Any], ...] = ()
    beside_failures: tuple[dict[str, Any], ...] = ()
    exceptions: tuple[dict[str, Any], ...] = ()
    task_exceptions: int = 0
    streams: tuple[dict[str, Any], ...] = ()
    request_types: dict[str, int] = {}
    users: tuple[tuple[float, int], ...] = ()
    planned_s: float | None = None
    ended_by: str = ""
    ended_early_s: float = 0.0
    locust: dict[str, int] = {}
    lost_requests: int = 0
    process_exit_code: int = 0
    pending_max: int = 0
    blocked_s: float = 0.0
    schedule_lag_p99_ms: float = 0.0
    schedule_lag_max_ms: float = 0.0
    loop_lag_p99_ms: float = 0.0
    loop_lag_max_ms: float = 0.0
    cpu_share_max: float = 0.0
    cpu_shares: tuple[float, ...] = ()
    rss_max_mb: float = 0.0
    processes: int = 1
    open_files_limit: int = 0
    clock_offset_max_ms: float = 0.0
    users_connected: int | None = None
    schedule: dict[str, Any] = {}
    steal_share: float | None = None
    foreign_cpu_share: float | None = None
    waits: dict[str, int] = {}
    connections_max: int | None = None
    observing: dict[str, Any] | None = None
    deaths: tuple[dict[str, Any], ...] = ()


class ClimbAudit(LoadAudit, frozen=True, kw_only=True, tag="climb"):
    """Of a load that climbs: each step, and the last that broke no budget; None where it was not reached."""

    steps: tuple[dict[str, Any], ...]
    knee: dict[str, Any] | None = None


class DuetAudit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="duet"):
    """What a duet's verdict rests on beside its tables.

    Attributes
    ----------
    design
        Of the looks: when it was judged, and how much of the error each look might spend.
    variants
        By side: what was compared.
    calibration
        What was known of this machine's verdicts when it began.
    blocks
        Each block's own audit, in order.
    rate_per_s, seconds, warmup_s
        Pairs of requests a second, and how long in each block.
    """

    design: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    blocks: list[dict[str, Any]]
    calibration: dict[str, Any] | None = None
    rate_per_s: float = 0.0
    seconds: float = 0.0
    warmup_s: float = 0.0


class RunRecord(msgspec.Struct, frozen=True):
    """What ``run.json`` holds: everything about a run that is not a table.

    Attributes
    ----------
    started_at
        ISO 8601, UTC.
    audit
        Typed by the run's kind.
    variants
        The words that name them; of a load the one that was loaded.
    settings
        As they were resolved, secrets left out.
    target
        What was measured: its URLs without secrets, its database's version, its tenants' sizes.
    night
        The loaded run of the night that this one was made for.
    """

    run_id: str
    purpose: Purpose
    scenario: str
    started_at: str
    duration_s: float
    seed: int
    audit: LoadAudit | ClimbAudit | DuetAudit
    variants: tuple[str, ...] = ("head",)
    settings: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}
    git: Origin = Origin()
    target: dict[str, Any] = {}
    caveats: tuple[Caveat, ...] = ()
    night: str | None = None  # the loaded run of the night that this one was made for
    service: str = "adx-core"  # with environment and scenario the key of history, baseline and trend
    environment: str = "local"
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse a duet of anything but two.

        Raises
        ------
        ValueError
            It has another number of variants.
        """
        if isinstance(self.audit, DuetAudit) and len(self.variants) != 2:
            raise ValueError(f"a duet has two variants, not {len(self.variants)}")

    @property
    def kind(self) -> Kind:
        """What the run is."""
        if isinstance(self.audit, DuetAudit):
            return "duet"
        return "climb" if isinstance(self.audit, ClimbAudit) else "load"

    @property
    def load(self) -> LoadAudit:
        """The audit of a load, of one that climbs, too."""
        assert isinstance(self.audit, LoadAudit)
        return self.audit

    @property
    def duet(self) -> DuetAudit:
        """The audit of a duet."""
        assert isinstance(self.audit, DuetAudit)
        return self.audit


def read_record(document: Mapping[str, Any]) -> RunRecord:
    """Return the record of a ``run.json`` of this format or an earlier one.

    Raises
    ------
    msgspec.ValidationError
        It is no such document; the message says where.
    """
    whole = dict(document)
    if whole.get("format") == 1:
        try:
            whole = _of_format_1(whole)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise msgspec.ValidationError(f"it is none of format 1: {error!r}") from error
    return msgspec.convert(whole, RunRecord)


def _of_format_1(document: dict[str, Any]) -> dict[str, Any]:
    audit, git = dict(document.pop("audit", None) or {}), document.get("git") or {}
    told = audit.pop("duet", None)
    if told is not None:
        audit |= {"kind": "duet", **told, "design": told["plan"]}
    else:
        kind = ClimbAudit if audit.get("steps") else LoadAudit
        audit["schedule"] = audit.get("schedule", audit.get("plan"))
        known = {item.name for item in msgspec.structs.fields(kind)}
        audit = {name: value for name, value in audit.items() if name in known and value is not None}
        audit["kind"] = "climb" if kind is ClimbAudit else "load"
    changed = git.get("changed_files", git.get("changed"))
    origin = {"commit": git.get("commit"), "subject": git.get("subject")}
    origin["changed_files"] = None if changed is None else int(changed)
    return document | {
        "audit": audit,
        "git": origin,
        "purpose": document.pop("kind", "load"),
        "format": FORMAT,
    }


def new_run_id(now: datetime | None = None) -> str:
    """Return an id that sorts by time and never meets another: ``20261124T015142-3f9a1c``."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
