"""What a request costs each part, on processor times that are known."""

from __future__ import annotations

import pandas as pd
import pytest

from adx_lab.analysis.run.process_costs import part_costs


def resources(cpu_per_s: dict[int, tuple[str, float]], *, seconds: int) -> pd.DataFrame:
    """Return what was sampled each second: every process grows by its own processor seconds."""
    rows = [
        {"t_s": float(t), "process": role, "pid": pid, "cpu_s": 7.0 + per_s * t, "rss_mb": 100.0 + t}
        for t in range(-2, seconds + 3)
        for pid, (role, per_s) in cpu_per_s.items()
    ]
    return pd.DataFrame(rows)


def test_the_cost_of_a_request_is_its_share_of_the_processor_time() -> None:
    seen = resources({1: ("service", 0.3), 2: ("service", 0.1), 3: ("postgres", 0.2)}, seconds=10)
    service, postgres = part_costs(seen, requests=1000, duration_s=10.0, cores=2)
    # 0.4 processor seconds a second at 100 requests a second are 4 ms a request.
    assert (service.part, postgres.part) == ("service", "postgres")
    assert service.cpu_ms_per_request == pytest.approx(4.0)
    assert postgres.cpu_ms_per_request == pytest.approx(2.0)
    assert service.machine_share == pytest.approx(0.2)
    # Two event loops of which a request takes 4 ms are full at 500 requests/s.
    assert service.full_at_per_s == pytest.approx(500.0)
    assert postgres.full_at_per_s is None
    assert service.memory_mb == pytest.approx(220.0)


def test_what_was_used_before_and_after_the_measured_part_does_not_count() -> None:
    seen = resources({1: ("service", 0.3)}, seconds=10)
    before = seen["t_s"] < 0
    seen.loc[before, "cpu_s"] -= 5.0
    seen.loc[seen["t_s"] > 10, "cpu_s"] += 5.0
    (service,) = part_costs(seen, requests=1000, duration_s=10.0, cores=2)
    assert service.cpu_ms_per_request == pytest.approx(3.0)


def test_nothing_answered_costs_nothing_that_could_be_told() -> None:
    assert (
        part_costs(resources({1: ("service", 0.3)}, seconds=10), requests=0, duration_s=10.0, cores=2) == ()
    )
