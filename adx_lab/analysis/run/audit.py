"""The load generator's audit: whether it was able to make the load that it claims to have made.

A generator that fails its audit makes a run invalid, not slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOOP_LAG_P99_MS = 50.0
"""A greenlet that wakes this late sends this late: more would be the generator's latency."""

SCHEDULE_LAG_P99_MS = 50.0
"""Between when a request should have left and when it did, while connections were free."""

CPU_SHARE = 0.9
"""Of one core, for each Locust process: above it the process itself is the queue."""

STEAL_SHARE = 0.05
"""Of the machine, given by the hypervisor to others: the service was slowed by somebody we can't see."""

TASK_EXCEPTION_SHARE = 0.01
"""Of what users did: where more of it raised, the load is not the one that the locustfile describes."""

FOREIGN_CPU_SHARE = 0.2
"""Of the machine, used by processes that are neither the stack's nor the lab's."""


@dataclass(frozen=True)
class ValidityCheck:
    """One reason for which a run could be worthless, and what was found.

    Attributes
    ----------
    check : str
    value, limit : float
        In the unit that the check's name ends with.
    ok : bool
    """

    check: str
    value: float
    limit: float
    ok: bool


def audit_generator(audit: Mapping[str, Any]) -> tuple[ValidityCheck, ...]:
    """Judge what the generator recorded of itself (``audit`` of ``run.json``).

    Parameters
    ----------
    audit
        ``unanswered``, ``lost_requests``, ``ended_early_s``, ``task_exceptions``, ``requests``,
        ``loop_lag_p99_ms``, ``schedule_lag_p99_ms``, ``cpu_share_max``, ``steal_share``,
        ``foreign_cpu_share``; what is missing was not recorded and is not judged. The schedule's lag is the
        service's doing, and not judged, where every connection was busy (``blocked_s``).
    """
    limits = {
        "loop_lag_p99_ms": LOOP_LAG_P99_MS,
        **({} if audit.get("blocked_s") else {"schedule_lag_p99_ms": SCHEDULE_LAG_P99_MS}),
        "cpu_share_max": CPU_SHARE,
        "steal_share": STEAL_SHARE,
        "foreign_cpu_share": FOREIGN_CPU_SHARE,
        "unanswered": 0.0,
        "lost_requests": 0.0,
        "ended_early_s": 0.0,
        "task_exception_share": TASK_EXCEPTION_SHARE,
    }
    audit = {**audit, **_exceptions(audit)}
    return tuple(
        ValidityCheck(name, float(audit[name]), limit, float(audit[name]) <= limit)
        for name, limit in limits.items()
        if audit.get(name) is not None
    )


def _exceptions(audit: Mapping[str, Any]) -> dict[str, float]:
    raised = audit.get("task_exceptions")
    if raised is None:
        return {}
    return {"task_exception_share": raised / max(1, raised + audit.get("requests", 0))}
