"""Turn what the Locust processes wrote into the run's tables, in chunks: hours fit into little memory."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adx_lab.errors import MeasurementError
from adx_lab.load.collecting.doubts import doubts, no_request
from adx_lab.load.collecting.processes import (
    Process,
    audit_processes,
    deaths_of,
    read_processes,
    tell_story,
    told,
    users_over_time,
)
from adx_lab.load.collecting.tables import Tables, read_stream
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.schedules.schedule import ENDED_BY_SCHEDULE, ENDLESS_S
from adx_lab.records.run import Caveat

_EARLY_S = 1.0
"""How much shorter than planned a load may be: Locust looks at its own clock once a second."""

_LISTED = 200
_UNCAUGHT = 2
"""Locust's own exit code where something was raised outside of a task."""

_NEVER = 1e12
"""The beginning of a load that never began, in seconds since the epoch: all that it sent is before."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What the load generator says of its own work.

    Attributes
    ----------
    began
        Seconds since the epoch at which the measured part began: the run's zero.
    duration_s
        How long the measured part lasted.
    requests, unanswered
        Measured requests that were answered or failed, and those without an answer by the end.
    warmup_requests, beside
        Requests outside of the measured part, all of them and by kind: of ``on_start``, of the warm-up, after
        the end, of ``on_stop``. They are the rows of ``beside.parquet``.
    failures, beside_failures, exceptions
        Counted by endpoint, status and reason; what tasks raised by place and words, with a traceback each.
    streams
        Of answers that are streams, by endpoint: how many were read to their end, and when that was.
    request_types
        Measured requests by what their client calls itself: GET, grpc, DB.
    users
        How many there were, each time that it changed.
    planned_s, ended_by, ended_early_s
        How long the load was to last (None: until it is stopped), who ended it, and how much it fell short.
    locust
        What Locust itself counted, where it did.
    lost_requests
        How many could not be written down.
    pending_max
        The most arrivals that waited for an answer at once.
    blocked_s
        How long the schedule stood still because every connection was busy: the service's doing.
    schedule_lag_p99_ms
        How late requests left, counted from when they should have.
    clock_offset_max_ms
        How far a worker's clock was from the master's; the tables are corrected for it.
    schedule, steps, knee
        What the load was; of a climbing one each step, and the last that broke no budget.
    """

    began: float
    duration_s: float
    requests: int
    warmup_requests: int
    unanswered: int
    beside: dict[str, int]
    failures: tuple[dict[str, Any], ...]
    beside_failures: tuple[dict[str, Any], ...]
    exceptions: tuple[dict[str, Any], ...]
    task_exceptions: int
    streams: tuple[dict[str, Any], ...]
    request_types: dict[str, int]
    users: tuple[tuple[float, int], ...]
    planned_s: float | None
    ended_by: str
    ended_early_s: float
    locust: dict[str, int]
    lost_requests: int
    pending_max: int
    blocked_s: float
    schedule_lag_p99_ms: float
    schedule_lag_max_ms: float
    loop_lag_p99_ms: float
    loop_lag_max_ms: float
    cpu_share_max: float
    cpu_shares: tuple[float, ...]
    rss_max_mb: float
    processes: int
    open_files_limit: int
    clock_offset_max_ms: float
    users_connected: int | None
    schedule: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    knee: dict[str, Any] | None
    caveats: tuple[Caveat, ...]
    process_exit_code: int = 0
    deaths: tuple[dict[str, Any], ...] = ()


def collect(
    raw_dir: Path,
    run_dir: Path,
    traces: Mapping[str, ServerSplit] | None = None,
    *,
    joined: bool = False,
) -> Collected:
    """Write ``samples.parquet``, ``beside.parquet`` and ``queries.parquet`` from the raw streams.

    ``traces`` tell by id where the time of requests went that were sent with one; ``joined`` endpoints are
    those of a duet, see `Tables`.

    Raises
    ------
    MeasurementError
        No Locust process recorded anything, or nothing that is measured; it says why.
    """
    processes = read_processes(raw_dir)
    begins = told(processes, "began")
    # Processes begin within a moment of one another: the last one's zero is everybody's.
    began = max(begins, default=_NEVER)
    ends = _ends(processes, began)
    offsets = {process.name: process.offset_s for process in processes}
    caveats: list[Caveat] = []
    tables = Tables(run_dir, began, began + ends["lasted_s"], traces=traces or {}, joined=joined)
    try:
        for worker, stream in enumerate(sorted(raw_dir.glob("worker-*.arrows"))):
            for batch in read_stream(stream, caveats):
                tables.append(batch, worker, offsets.get(stream.stem, 0.0))
    finally:
        tables.close()
    if not begins and not tables.exceptions and not told(processes, "ended"):
        raise MeasurementError("the load generator recorded nothing", mend="see its log in the run's folder")
    if tables.requests + tables.unanswered == 0:
        raise no_request(processes, tables, ends)
    users = users_over_time(processes, began)
    counted = told(processes, "locust_requests")
    return Collected(
        began=began,
        duration_s=ends["lasted_s"],
        requests=tables.requests,
        unanswered=tables.unanswered,
        warmup_requests=tables.beside.total(),
        beside=dict(tables.beside),
        failures=_listed(("endpoint", "status", "reason"), tables.failures),
        beside_failures=_listed(("kind", "endpoint", "status", "reason"), tables.beside_failures),
        exceptions=_raised(processes, tables),
        task_exceptions=tables.exceptions.total(),
        streams=tuple(_streams(tables)),
        request_types=dict(tables.request_types),
        users=users,
        planned_s=ends["planned_s"],
        ended_by=ends["ended_by"],
        ended_early_s=ends["ended_early_s"],
        locust={"requests": sum(counted), "failures": sum(told(processes, "locust_failures"))}
        if counted
        else {},
        lost_requests=sum(told(processes, "lost")) + _unrecorded(sum(counted), tables),
        **tables.lag(),
        **audit_processes(processes, began),
        **tell_story(processes),
        caveats=(*caveats, *doubts(processes, tables, ends, users)),
        deaths=tuple(deaths_of(processes)),
    )


def with_exit_code(collected: Collected, code: int, crash: str | None) -> Collected:
    """Return the same with the status that Locust ended with, once all was recorded.

    A file chooses it; or it is Python's own, where Locust raised what nobody caught (``crash``).
    """
    why = "the locustfile set it"
    if crash:
        why = f"when all was recorded: {crash}"
    elif code == _UNCAUGHT:
        why = "a listener or a greenlet of the locustfile raised what nobody caught (see Locust's log)"
    caveat = Caveat("exit_code", f"Locust ended with exit code {code}: {why}")
    chosen = 0 if crash else code
    return dataclasses.replace(collected, process_exit_code=chosen, caveats=(*collected.caveats, caveat))


def _ends(processes: list[Process], began: float) -> dict[str, Any]:
    """Return how long the load was to last and did, and who ended it."""
    schedule: dict[str, Any] = next(iter(told(processes, "schedule")), {})
    planned_s = schedule.get("duration_s", ENDLESS_S)
    ends = [
        (fact["ended"], fact.get("ended_by", ENDED_BY_SCHEDULE))
        for process in processes
        for fact in process.facts
        if "ended" in fact
    ]
    # A process that was killed told no end: what it heard last is as far as is known.
    last = max((fact["t"] for process in processes for fact in process.facts), default=began)
    ended, by = max(ends) if ends else (last, "a kill, or something else that let Locust say nothing more,")
    lasted_s = min(ended - began, planned_s) if began < _NEVER else 0.0
    endless, climbs = planned_s >= ENDLESS_S, bool(schedule.get("climbs"))
    ended_early_s = 0.0 if endless or climbs else planned_s - lasted_s
    return {
        "kind": schedule.get("kind", "other"),
        "users": schedule.get("users", 0),
        "climbs": climbs,
        "planned_s": None if endless else planned_s,
        "lasted_s": lasted_s,
        "ended_early_s": ended_early_s if ended_early_s > _EARLY_S else 0.0,
        "ended_by": by,
    }


def _unrecorded(counted: int, tables: Tables) -> int:
    """Return how many requests Locust counted that are not recorded."""
    return max(0, counted - tables.answered)


def _listed(names: tuple[str, ...], counted: Counter[Any]) -> tuple[dict[str, Any], ...]:
    """Return the commonest, and how many there are besides."""
    rows = [
        dict(zip(names, key, strict=True)) | {"count": count} for key, count in counted.most_common(_LISTED)
    ]
    rest = counted.total() - sum(row["count"] for row in rows)
    if rest:
        rows.append(
            dict.fromkeys(names, None) | {"reason": f"(and {len(counted) - _LISTED} more)", "count": rest}
        )
    return tuple(rows)


def _streams(tables: Tables) -> Iterator[dict[str, Any]]:
    for endpoint, ends in sorted(tables.streams.items()):
        p50_ms, p95_ms = np.percentile(ends, (50, 95))
        yield {
            "endpoint": endpoint,
            "count": len(ends),
            "end_p50_ms": float(p50_ms),
            "end_p95_ms": float(p95_ms),
        }


def _raised(processes: list[Process], tables: Tables) -> tuple[dict[str, Any], ...]:
    known = {(fact["endpoint"], fact["text"][:200]): fact for fact in told(processes, "exception")}
    return tuple(
        {
            "endpoint": place,
            "text": words,
            "count": count,
            "where": known.get((place, words), {}).get("where"),
            "traceback": known.get((place, words), {}).get("traceback"),
        }
        for (place, words), count in tables.exceptions.most_common(_LISTED)
    )
