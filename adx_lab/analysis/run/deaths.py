"""What died under a load is a finding: the service, a regression; anything else, no measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck

DIED = "died"
"""The kind of the finding."""

_OTHERS = frozenset({"postgres", "postgres backend", "valkey", "locust", "stack"})
"""What is not the service under test."""


def death_findings(deaths: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return a finding for each process that died, with its time, signal and log."""
    return tuple(
        Finding(
            DIED,
            str(death["role"]),
            f"{death['role']} {death['how']} at {death['at']}"
            + (", and was started again" if death.get("again") else "")
            + (f"; its last words are in {death['log']}" if death.get("log") else ""),
            {name: death.get(name) for name in ("at", "how", "pid", "log", "again")},
        )
        for death in deaths
    )


def death_checks(deaths: Sequence[Mapping[str, Any]]) -> tuple[ValidityCheck, ...]:
    """Return a failed check for each role, the service's own left out, of which something died."""
    roles = Counter(str(death["role"]) for death in deaths)
    return tuple(
        ValidityCheck(f"{role.replace(' ', '_')}_died", float(count), 0.0, ok=False)
        for role, count in sorted(roles.items())
        if role in _OTHERS
    )


def service_died(findings: tuple[Finding, ...]) -> bool:
    """Tell whether the service under test is among what died."""
    return any(one.kind == DIED and one.subject not in _OTHERS for one in findings)
