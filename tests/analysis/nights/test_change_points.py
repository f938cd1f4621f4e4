"""The history's detector: rare alarms over all series together, changes found soon, none told twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from adx_lab.analysis.nights.change_points import ChangePoint, Night, change_points
from adx_lab.records.documents import to_json
from tests.analysis.noise import autoregressive

SERIES, NIGHTS = 42, 60


def nights_of(logs: NDArray[np.float64]) -> list[Night]:
    return [
        Night(
            run_id=f"r{i:03}",
            date=f"2026-{1 + i // 28:02}-{1 + i % 28:02}",
            commit=f"c{i:03}",
            ratio=float(r),
        )
        for i, r in enumerate(np.exp(logs))
    ]


def a_store(seed: int, *, phi: float = 0.0, noise: float = 0.01, level: float = 0.0) -> NDArray[np.float64]:
    """Return the logs of a store's series, in which nothing ever changes; a third of the noise is common."""
    rng = np.random.default_rng(seed)
    common = autoregressive(rng, NIGHTS, phi)
    own = np.array([autoregressive(rng, NIGHTS, phi) for _ in range(SERIES)])
    return np.asarray(level + noise * (np.sqrt(0.3) * common + np.sqrt(0.7) * own))


def found(store: NDArray[np.float64]) -> tuple[tuple[ChangePoint, ...], ...]:
    return change_points([nights_of(row) for row in store])


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.7])
def test_a_store_in_which_nothing_changes_does_not_alarm(phi: float) -> None:
    """Of 1,000 nights one may, over all series; these are 600."""
    alarms = [
        change
        for seed in range(10)
        for changes in found(a_store(seed, phi=phi))
        for change in changes
        if change.alarm
    ]
    assert len(alarms) <= 1


def delays(stores: list[NDArray[np.float64]], since: int) -> list[int]:
    """Return after how many nights the first series' slowdown was found; a thousand for never."""
    told = []
    for store in stores:
        late = [int(c.found.run_id[1:]) + 1 - since for c in found(store)[0] if c.alarm]
        told.append(min((nights for nights in late if nights > 0), default=1_000))
    return told


def test_three_percent_at_one_percent_noise_are_found_within_four_nights() -> None:
    stores = [a_store(100 + seed) for seed in range(20)]
    for store in stores:
        store[0, 40:] += np.log(1.03)
    late = delays(stores, 40)
    assert sum(nights <= 4 for nights in late) >= 14
    assert max(late) <= 10


def test_a_creep_of_a_third_of_a_percent_a_night_is_found() -> None:
    stores = [a_store(200 + seed) for seed in range(10)]
    for store in stores:
        store[0] += np.log(1.003) * np.maximum(0, np.arange(NIGHTS) - 20)
    assert max(delays(stores, 20)) <= 25


def test_a_tree_faster_than_its_baseline_that_loses_ten_percent_is_found() -> None:
    """From the first night, and where it became faster on the way."""
    stores = [a_store(300 + seed, noise=0.02, level=-0.2) for seed in range(10)]
    for i, store in enumerate(stores):
        if i % 2:
            store[0, :15] += 0.2
        store[0, 40:] += 0.1
    assert max(delays(stores, 40)) <= 10


def test_one_odd_night_is_no_change() -> None:
    for seed in range(5):
        store = a_store(400 + seed)
        store[0, 40] += 0.3
        store[1, 59] += 0.3
        assert not any(found(store))


def a_series(*levels: tuple[int, float], noise: float = 0.01, seed: int = 34) -> list[Night]:
    logs = np.concatenate([np.full(count, np.log(level)) for count, level in levels])
    return nights_of(logs + noise * np.random.default_rng(seed).normal(size=logs.size))


def test_a_change_is_told_with_its_size_its_commits_and_its_night() -> None:
    ((change,),) = change_points([a_series((30, 1.0), (30, 1.05))])
    assert (change.direction, change.alarm) == ("slower", True)
    assert change.low < 1.05 < change.high
    assert change.ratio == pytest.approx(1.05, abs=0.01)
    assert int(change.after.commit[1:]) == pytest.approx(30, abs=1)
    assert int(change.before.commit[1:]) == int(change.after.commit[1:]) - 1
    assert 31 <= int(change.found.commit[1:]) <= 37
    assert json.loads(to_json(change))["after"]["commit"] == change.after.commit


def test_a_jump_is_found_on_its_second_night_and_never_on_its_first() -> None:
    nights = a_series((20, 1.0), (2, 1.4))
    assert change_points([nights[:21]]) == ((),)
    ((change,),) = change_points([nights])
    assert change.found.run_id == "r021"


def test_nights_to_come_change_nothing_that_was_told() -> None:
    nights = a_series((30, 1.0), (30, 1.06), (30, 1.2))
    told: tuple[ChangePoint, ...] = ()
    for end in range(len(nights) + 1):
        (now,) = change_points([nights[:end]])
        assert now[: len(told)] == told
        assert len(now) - len(told) in (0, 1)
        told = now
    assert [round(change.ratio, 2) for change in told] == pytest.approx([1.06, 1.13], abs=0.02)


def test_an_improvement_is_recorded_and_wakes_nobody() -> None:
    ((change,),) = change_points([a_series((30, 1.0), (30, 0.9))])
    assert (change.direction, change.alarm) == ("faster", False)
    assert change.high < 1


def test_the_cause_is_what_the_nights_after_say_and_those_before_did_not() -> None:
    nights = [
        Night(n.run_id, n.date, n.commit, n.ratio, ("index dropped", "noise") if i >= 30 else ("noise",))
        for i, n in enumerate(a_series((30, 1.0), (30, 1.1)))
    ]
    assert change_points([nights])[0][0].cause == "index dropped"


def test_series_that_miss_some_nights_are_watched_with_the_others() -> None:
    whole = a_series((40, 1.0), (20, 1.1))
    holes = [night for i, night in enumerate(whole) if i % 5]
    late = whole[20:]
    (first, second, third) = change_points([whole, holes, late])
    assert [len(changes) for changes in (first, second, third)] == [1, 1, 1]
    assert first[0].after == third[0].after


def test_little_and_nothing() -> None:
    assert change_points([]) == ()
    assert change_points([[], a_series((5, 1.0))]) == ((), ())
    assert change_points([nights_of(np.zeros(60))]) == ((),)
    ((still,),) = change_points([nights_of(np.repeat([0.0, 0.1], 30))])
    assert still.ratio == pytest.approx(1.105, abs=0.001)
    assert change_points([nights_of(np.repeat([0.0, 0.005], 30))]) == ((),)  # nobody's concern
