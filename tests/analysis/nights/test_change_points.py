"""The history's detector: rare alarms over sixty nights of looking, changes found soon, none told twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from adx_lab.analysis.nights.change_points import (
    P_MAX,
    ChangePoint,
    Night,
    change_points,
    evidence,
    permutation_p,
    sufficient,
)
from adx_lab.records.documents import to_json
from tests.analysis.noise import autoregressive

SERIES, NIGHTS, NOISE = 400, 60, 0.03


def first_found(logs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the night on which each series' first change was found, 0 for never."""
    found = np.zeros(len(logs), dtype=np.int64)
    for night in range(1, logs.shape[1] + 1):
        splits, nats = evidence(logs[:, :night], 0.0)
        if not splits.size:
            continue
        best = sufficient(splits, nats, night, learned=False)
        for i in np.flatnonzero((best >= 0) & (found == 0)):
            p = permutation_p(logs[i, :night], 0.0, float(nats[i, best[i]]), seed=20_252)
            found[i] = night if p <= P_MAX else 0
    return found


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


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_at_most_one_series_in_twenty_alarms_without_a_change(phi: float) -> None:
    """Improvements count too here."""
    rng = np.random.default_rng(31)
    logs = NOISE * np.array([autoregressive(rng, NIGHTS, phi) for _ in range(SERIES)])
    assert (first_found(logs) > 0).mean() <= 0.05


def test_five_percent_at_three_percent_noise_is_found_within_ten_nights() -> None:
    rng = np.random.default_rng(32)
    logs = NOISE * rng.normal(size=(SERIES, 50))
    logs[:, 40:] += np.log(1.05)
    found = first_found(logs)
    assert (found > 40).mean() >= 0.90


def test_a_change_in_the_first_weeks_is_found_too() -> None:
    rng = np.random.default_rng(36)
    logs = NOISE * rng.normal(size=(100, 40))
    logs[:, 20:] += np.log(1.05)
    found = first_found(logs)
    assert (found > 20).mean() >= 0.90


def test_the_replay_of_one_series_is_the_detector_of_many() -> None:
    rng = np.random.default_rng(33)
    logs = NOISE * rng.normal(size=(12, 50))
    logs[::2, 35:] += 0.08
    many = first_found(logs)
    for row, night in zip(logs, many, strict=True):
        changes = change_points(nights_of(row))
        assert (changes[0].found.run_id if changes else None) == (f"r{night - 1:03}" if night else None)
    assert (many[::2] > 35).all()


def a_series(*levels: tuple[int, float], noise: float = 0.01, seed: int = 34) -> list[Night]:
    logs = np.concatenate([np.full(count, np.log(level)) for count, level in levels])
    return nights_of(logs + noise * np.random.default_rng(seed).normal(size=logs.size))


def test_a_change_is_told_with_its_size_its_commits_and_its_night() -> None:
    (change,) = change_points(a_series((30, 1.0), (30, 1.05)))
    assert (change.direction, change.alarm) == ("slower", True)
    assert change.low < 1.05 < change.high
    assert change.ratio == pytest.approx(1.05, abs=0.01)
    assert int(change.after.commit[1:]) == pytest.approx(30, abs=1)
    assert int(change.before.commit[1:]) == int(change.after.commit[1:]) - 1
    assert 31 <= int(change.found.commit[1:]) <= 37
    assert json.loads(to_json(change))["after"]["commit"] == change.after.commit


def test_a_jump_is_found_on_its_second_night_and_never_on_its_first() -> None:
    nights = a_series((20, 1.0), (2, 1.4))
    assert change_points(nights[:21]) == ()
    (change,) = change_points(nights)
    assert change.found.run_id == "r021"


def test_nights_to_come_change_nothing_that_was_told() -> None:
    nights = a_series((30, 1.0), (30, 1.06), (30, 1.2))
    told: tuple[ChangePoint, ...] = ()
    for end in range(len(nights) + 1):
        now = change_points(nights[:end])
        assert now[: len(told)] == told
        assert len(now) - len(told) in (0, 1)
        told = now
    assert [round(change.ratio, 2) for change in told] == pytest.approx([1.06, 1.13], abs=0.02)


def test_an_improvement_is_recorded_and_wakes_nobody() -> None:
    (change,) = change_points(a_series((30, 1.0), (30, 0.9)))
    assert (change.direction, change.alarm) == ("faster", False)
    assert change.high < 1


def test_a_level_that_is_not_one_can_be_learned() -> None:
    nights = a_series((40, 1.3), (20, 1.4))
    (change,) = change_points(nights, level=None)
    assert change.ratio == pytest.approx(1.4 / 1.3, abs=0.02)


def test_the_cause_is_what_the_nights_after_say_and_those_before_did_not() -> None:
    nights = [
        Night(n.run_id, n.date, n.commit, n.ratio, ("index dropped", "noise") if i >= 30 else ("noise",))
        for i, n in enumerate(a_series((30, 1.0), (30, 1.1)))
    ]
    assert change_points(nights)[0].cause == "index dropped"


def test_little_and_nothing() -> None:
    assert change_points([]) == ()
    assert change_points(a_series((5, 1.0))) == ()
    assert change_points(nights_of(np.zeros(60))) == ()
    (still,) = change_points(nights_of(np.repeat([0.0, 0.1], 30)))
    assert still.ratio == pytest.approx(1.105, abs=0.001)
