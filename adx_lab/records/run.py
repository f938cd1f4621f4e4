"""What the rooms hand to one another: the columns of a run's tables and the frozen records beside them.

A run is one immutable folder. Measuring writes it, judging reads it, and neither knows the other; what both
must agree on stands here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

FORMAT = 1
"""Version of the run folder's layout: a reader refuses a larger number than its own."""

CacheLayer = Literal["l1", "l2", "miss", "none"]

SAMPLE_COLUMNS: Mapping[str, str] = {
    "t_intended_s": "float64",  # when the request should have left, since the run began
    "t_sent_s": "float64",  # when it did
    "latency_ms": "float64",  # from the intended start to the last byte
    "service_ms": "float64",  # from the send to the last byte
    "endpoint": "string",  # method and route template, never a raw path
    "group": "string",  # gateway, auth, users, files, workflows
    "tenant": "string",  # the kind of tenant it was made for: whale, large, median, small; null if unknown
    "status": "int16",  # HTTP status; 0 where there was no answer
    "bytes": "int64",  # of the response's body
    "variant": "string",
    "pair": "int64",  # number of the pair in a duet; -1 elsewhere
    "server_ms": "float64",  # Server-Timing total; NaN where the server sends none
    "db_ms": "float64",
    "db_queries": "int16",
    "valkey_ms": "float64",
    "pool_ms": "float64",  # waiting for a database connection
    "cache": "string",  # the deepest layer that was asked: l1, l2, miss, none
    "error": "string",  # null where all went well
    "worker": "int32",  # the load generator's process
    "request_type": "string",  # what its client calls itself: GET, grpc, DB
    "kind": "string",  # request; unanswered: its times are lower bounds
}
"""One row a request; the dtypes are those of the Parquet file. ``beside.parquet`` has the same columns for
what is not measured, of the kinds on_start, warm_up, after_the_end, cut_off, on_stop, exception."""

QUERY_COLUMNS: Mapping[str, str] = {"sample": "int64", "query": "string", "ms": "float64"}
"""One row a query execution; ``sample`` is the row number in the samples."""

RESOURCE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "process": "string",  # its role in the stack: postgres, valkey, core, worker, locust
    "pid": "int32",
    "cpu_s": "float64",  # user and system time used since the process began
    "rss_mb": "float64",
    "threads": "int32",
    "open_files": "int32",
}

CACHE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "layer": "string",  # l1, l2, database
    "family": "string",
    "hits": "int64",  # since the core began
}

SERVICE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "name": "string",  # as on the service's metrics page; of histograms the sum and the count
    "value": "float64",
}
"""One row a series and moment: what the service says of itself."""

CACHE_TRACE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",  # negative before the run's zero: what was in L1 by then
    "scope": "int64",  # a keyed hash; what is dropped as one when L1 is full, or invalidated
    "item": "int64",  # a keyed hash of the entry's name within its scope
    "worker": "int32",  # the core's process, each with an L1 of its own
    "family": "string",
    "event": "string",  # hit, miss, put, forget (a scope), clear
}
"""One row an event of the core's L1, in order."""

DATABASE_COLUMNS: Mapping[str, str] = {
    "query": "string",  # the named query, or null for anything else
    "queryid": "int64",
    "calls": "int64",
    "total_ms": "float64",
    "mean_ms": "float64",
    "rows": "int64",
    "shared_hit": "int64",
    "shared_read": "int64",
    "temp_written": "int64",
    "wal_bytes": "int64",
    "text": "string",
}
"""One row a statement: the difference of ``pg_stat_statements`` over the run."""


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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What ``run.json`` holds: everything about a run that is not a table."""

    run_id: str
    kind: str  # load, nightly, duet, calibrate, rules
    scenario: str
    started_at: str  # ISO 8601, UTC
    duration_s: float
    seed: int
    variants: tuple[str, ...] = ("head",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[Caveat, ...] = ()
    night: str | None = None  # the loaded run of the night that this one was made for
    format: int = FORMAT


def new_run_id(now: datetime | None = None) -> str:
    """Return an id that sorts by time and never meets another: ``20261124T015142-3f9a1c``."""
    moment = now or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def to_plain(value: Any) -> Any:
    """Turn records into what ``json`` can write; non-finite floats become null, since JSON has none."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, Path | datetime):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # a NumPy scalar
        return to_plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return one JSON document; see `to_plain`."""
    return json.dumps(to_plain(value), indent=indent, ensure_ascii=False)


def without_password(url: str) -> str:
    """Return a URL that can be shown."""
    head, at, tail = url.rpartition("@")
    scheme, _, account = head.partition("://")
    return f"{scheme}://{account.split(':')[0]}@{tail}" if at else url


def digest(value: Any) -> str:
    """Return a short stable fingerprint of any plain value, to tell two configurations apart."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:12]
