"""The core writes the trace, the lab reads it: two programs that must agree on every byte."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adx_lab.capture.service.cache_trace import EVENTS, ROW, TraceTail
from adx_lab.core.cache import trace
from adx_lab.core.cache.cache import Cache, Family
from adx_lab.core.errors import ConfigError
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.settings import CacheSettings, Settings

LONGEST = Family("permissions")
USER = Family("user")


def cache_of(path: Path, **changes: int) -> Cache:
    own = msgspec.structs.replace(CacheSettings(trace=str(path)), **changes)
    return Cache(Settings(cache=own), Metrics())


async def load() -> bytes:
    return b"value"


def test_both_mean_the_same_row() -> None:
    assert ROW.itemsize == trace.ROW.size
    assert list(range(len(EVENTS))) == [trace.MISS, trace.HIT, trace.PUT, trace.FORGET, trace.CLEAR]


async def test_what_is_looked_up_is_told_without_its_key(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    cache = cache_of(path)
    assert cache.trace is not None
    tail = TraceTail(path)
    began = time.time()
    for _ in range(2):
        assert await cache.get(LONGEST, "user:secret", load, None) == b"value"
    await cache.get(USER, "user:secret", load, None)
    await cache.invalidate("user:secret")
    await cache.get(USER, "user:other", load, None, item="page-1")
    cache.forget_all()
    cache.trace.close()
    told = tail.read(began)
    assert list(told["event"]) == ["miss", "hit", "miss", "forget", "miss", "clear"]
    assert list(told["family"][:3]) == ["permissions", "permissions", "user"]
    assert len(set(told["scope"][:4])) == 1
    assert told["scope"][4] != told["scope"][0]
    assert told["item"][0] == told["item"][1] != told["item"][2]
    assert (np.abs(told["t_s"]) < 60).all()
    assert b"secret" not in path.read_bytes()


async def test_a_trace_stops_at_its_bound_until_it_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "trace.bin"
    cache = cache_of(path, trace_max=3 * ROW.itemsize)
    assert cache.trace is not None
    cache.trace.start()
    for events, rows in ((3, 3), (3, 3)):
        for _ in range(events):
            await cache.get(USER, "user:1", load, None)
        cache.trace.flush()
        assert path.stat().st_size == rows * ROW.itemsize
    tail = TraceTail(path)
    await cache.get(USER, "user:1", load, None)
    cache.trace.close()
    assert len(tail.read(0.0)["t_s"]) == 1


def test_a_file_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    trace.check_trace(str(tmp_path / "trace.bin"))
    with pytest.raises(ConfigError, match=r"ADX_CORE_CACHE_TRACE=.*No such file or directory"):
        trace.check_trace(str(tmp_path / "missing" / "trace.bin"))


def test_no_file_is_no_trace(tmp_path: Path) -> None:
    assert Cache(Settings(), Metrics()).trace is None
    for path in (None, tmp_path / "missing.bin"):
        assert all(len(column) == 0 for column in TraceTail(path).read(0.0).values())
