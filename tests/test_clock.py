"""What is measured goes by a clock that nobody sets."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from adx_lab import clock
from adx_lab.settings import CHECKOUT

MEASURING = ("load", "capture", "conduct/duet")


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
def test_a_clock_that_is_set_moves_nothing(step_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = clock.now(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + step_s)
    assert 0 <= clock.now() - before < 60
    assert abs(clock.now() - real()) < 60


@pytest.mark.parametrize("room", MEASURING)
def test_whoever_measures_goes_by_it(room: str) -> None:
    files = sorted(Path(CHECKOUT, "adx_lab", room).rglob("*.py"))
    assert files
    asking = [path.name for path in files if re.search(r"\btime\.time\(\)", path.read_text())]
    assert asking == []
