"""What a load is to do, from what somebody asked, what its scenario says and what is usual."""

from __future__ import annotations

import pytest

from adx_lab.load.order import LoadOrder
from adx_lab.load.schedules.arrivals import climb
from adx_lab.load.schedules.schedule import make_schedule
from adx_lab.settings.tree import LoadSettings


class Climbing:
    load_kind = "open"
    stages = climb(100, factor=2, steps=4, seconds=6)
    stop_at_budget = True


def test_a_climb_takes_as_long_as_somebody_asks() -> None:
    order = LoadOrder(raw_dir="raw", scenario="steps")
    assert make_schedule(order, Climbing, LoadSettings()).duration_s == 24
    asked = LoadOrder(raw_dir="raw", scenario="steps", duration_s=10)
    schedule = make_schedule(asked, Climbing, LoadSettings())
    assert schedule.climbs
    assert schedule.duration_s == pytest.approx(10)
    assert [stage.seconds for stage in schedule.stages] == pytest.approx([2.5] * 4)
    assert [stage.rate_to for stage in schedule.stages] == [stage.rate_to for stage in Climbing.stages]
