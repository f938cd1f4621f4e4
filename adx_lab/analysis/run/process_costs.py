"""What a request costs each part of the stack, from the processor time of its processes over a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ONE_LOOP = frozenset({"service", "core", "valkey", "locust"})
"""Parts of which a process has one event loop, so that one core is all that it can fill."""


@dataclass(frozen=True)
class PartCost:
    """One part of the stack over the measured part of a run.

    Attributes
    ----------
    part : str
        The role of its processes.
    cpu_ms_per_request : float
    machine_share : float
        Of all cores, 0 to 1.
    memory_mb : float
        The most that its processes held together.
    full_at_per_s : float or None
        Requests a second at which its event loops would be full; None for a part of many processes.
    """

    part: str
    cpu_ms_per_request: float
    machine_share: float
    memory_mb: float
    full_at_per_s: float | None


def part_costs(
    resources: pd.DataFrame, *, requests: int, duration_s: float, cores: int
) -> tuple[PartCost, ...]:
    """Share out the processor time of a run, the dearest part first.

    Parameters
    ----------
    resources
        The run's table; time 0 is where the measured part begins.
    requests
        Answered in the measured part.
    duration_s
        Its length.
    cores
        Of the machine.
    """
    measured = resources[(resources["t_s"] >= 0) & (resources["t_s"] <= duration_s)]
    found = []
    for part, own in measured.groupby("process"):
        span_s = float(own["t_s"].max() - own["t_s"].min())
        if span_s <= 0 or not requests:
            continue
        by_pid = own.groupby("pid")["cpu_s"]
        used_s = float((by_pid.max() - by_pid.min()).sum())
        cost_ms = 1000 * used_s / (requests * span_s / duration_s)
        loops = own["pid"].nunique()
        found.append(
            PartCost(
                part=str(part),
                cpu_ms_per_request=cost_ms,
                machine_share=used_s / span_s / cores,
                memory_mb=float(own.groupby("t_s")["rss_mb"].sum().max()),
                full_at_per_s=1000 * loops / cost_ms if part in ONE_LOOP and cost_ms > 0 else None,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.cpu_ms_per_request))
