"""What notebooks show of made data: what no short run shows, and what must be said when there is nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.run.capacity import Step
from adx_lab.errors import nearest
from adx_lab.records.run import DuetAudit, LoadAudit, Origin, RunRecord
from adx_lab.report.nights import night_series, trend_figures
from adx_lab.report.nights.night_series import NightSeries
from adx_lab.report.parts.row_chart import stacked_rows
from adx_lab.report.run import cache_figures, service_figures
from adx_lab.report.run.climb import Capacity, knee_figure, law_figure, users_table
from adx_lab.settings import Settings
from adx_lab.store.rows import RunStore
from tests.conftest import CHECKOUT


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    shutil.copy(CHECKOUT / "data" / "budgets.toml", tmp_path / "data")
    return Settings(home=str(tmp_path))


LOAD = LoadAudit(began=0.0, duration_s=1.0, requests=0)


def keep(
    settings: Settings, number: int, kind: str, figures: dict[str, float | None], status: str = "pass"
) -> None:
    store = RunStore(settings)
    record = RunRecord(
        run_id=f"r{number:03d}",
        purpose="duet" if kind == "duet" else "load",
        scenario="mixed",
        started_at=f"2026-01-{number + 1:02d}T03:00:00+00:00",
        duration_s=60,
        seed=1,
        audit=DuetAudit(design={}, variants={}, blocks=[]) if kind == "duet" else LOAD,
        variants=("main", ".") if kind == "duet" else ("head",),
        git=Origin(commit=f"c{number}"),
    )
    store.save(record, status=status, figures=figures)
    store.close()


def test_an_empty_store_says_what_would_fill_it(settings: Settings) -> None:
    nights = NightSeries(settings, "mixed")
    assert trend_figures.budgets_over_nights(nights).sentence == "No load of mixed has been stored yet."
    assert "adx-lab baseline set REF" in trend_figures.ratios_over_nights(nights, "pair_ms").sentence
    for table in (
        night_series.budgets_table(nights),
        night_series.changes_table(nights, "pair_ms"),
        night_series.runs_table(nights),
    ):
        assert not table.rows


def test_budgets_are_drawn_as_shares_of_their_limits(settings: Settings) -> None:
    keep(
        settings,
        1,
        "nightly",
        {"group.auth.p95_ms": 15.0, "query.users.get.p95_ms": 2.0, "query.users.list.p95_ms": 5.0},
    )
    keep(settings, 2, "nightly", {"group.auth.p95_ms": 60.0, "throughput_per_s": 150.0})
    keep(settings, 3, "nightly", {"group.auth.p95_ms": 900.0}, status="invalid")
    keep(settings, 4, "duet", {"ratio all pair_ms": 1.0})
    nights = NightSeries(settings, "mixed")
    used = {trend.budget.name: trend.used for trend in nights.budgets}
    assert used["Authentication"] == (0.5, 2.0)
    assert used["Each database query"] == (0.5,)
    figure = trend_figures.budgets_over_nights(nights)
    assert "beyond it on the latest: Authentication" in figure.sentence
    rows = {row[0]: row for row in night_series.budgets_table(nights).texts}
    assert rows["Authentication"][3:] == ("2", "15", "60", "60")


def test_a_change_is_marked_where_it_came_in(settings: Settings) -> None:
    random = np.random.default_rng(7)
    for number in range(28):
        ratio = (1.2 if number >= 20 else 1.0) * float(random.lognormal(0, 0.01))
        keep(
            settings,
            number,
            "duet",
            {"ratio GET /users pair_ms": ratio, "ratio all pair_ms": 1.0, "cause index users_email": 1.0},
        )
    nights = NightSeries(settings, "mixed")
    figure = trend_figures.ratios_over_nights(nights, "pair_ms")
    marks = [trace for trace in figure.plot.data if trace.mode == "markers" and len(trace.x)]
    assert [list(trace.x) for trace in marks] == [["2026-01-21T03:00:00+00:00"]]
    assert "1 change found" in figure.sentence
    (row,) = night_series.changes_table(nights, "pair_ms").texts
    assert row[:3] == ("GET /users", "typical request", "slower")
    assert row[6] == "c19..c20"


class Climbed(Capacity):
    """A climb whose steps are made."""

    steps: tuple[Step, ...] = ()


def climbed(*steps: Step) -> Capacity:
    made = Climbed(None)  # type: ignore[arg-type]  # nothing is read from it
    object.__setattr__(made, "steps", steps)
    return made


def step(rate: float, broken: tuple[str, ...] = ()) -> Step:
    answered = min(rate, 500.0)
    return Step(rate, answered, 10.0, 20.0, answered / 100, broken)


def test_the_knee_is_the_last_step_before_the_first_that_broke() -> None:
    load = climbed(step(100), step(200), step(400, ("group.auth.p95_ms",)), step(800))
    assert load.knee is not None
    assert load.knee.offered_per_s == 200
    assert "The knee is at 200 requests/s" in knee_figure(load).sentence
    assert ("users who think 9.99 s", "2,000") in users_table(load, think_s=9.99).rows


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((step(100), step(200)), "Every step kept its budgets, up to 200 requests/s."),
        ((step(100, ("a.p95_ms",)),), "Even the first step broke a budget"),
    ],
)
def test_a_climb_without_a_knee_says_so(steps: tuple[Step, ...], said: str) -> None:
    assert said in knee_figure(climbed(*steps)).sentence
    assert "needs at least 4 steps" in law_figure(climbed(*steps)).sentence


def test_nothing_recorded_is_said() -> None:
    trace = pd.DataFrame({name: [] for name in ("t_s", "scope", "item", "worker", "family", "event")})
    assert "No look-up was traced" in cache_figures.another_l1(trace, scopes=10, ttl_s=1.0).sentence
    service = pd.DataFrame({"t_s": [], "name": [], "value": []})
    assert "does not tell of its connections" in service_figures.pool_over_time(service).sentence
    assert "does not tell how late" in service_figures.loop_lag_over_time(service).sentence


def test_histograms_become_means_of_each_second() -> None:
    rows = [
        {"t_s": t, "name": f"event_loop_lag_ms_{part}", "value": value}
        for t, total, count in ((0.0, 0.0, 0.0), (1.0, 3.0, 1.0), (2.0, 13.0, 3.0), (3.0, 13.0, 3.0))
        for part, value in (("sum", total), ("count", count))
    ]
    figure = service_figures.loop_lag_over_time(pd.DataFrame(rows))
    assert list(figure.plot.data[0].y) == [3.0, 5.0, 0.0]
    assert "At worst 5 ms" in figure.sentence


def test_small_parts_are_drawn_as_one() -> None:
    plot = stacked_rows(["a"], [{f"part{n}": float(n + 1) for n in range(20)}], title="[ms]")
    assert len(plot.data) == 8
    assert sum(sum(trace.x) for trace in plot.data) == sum(range(1, 21))


def test_a_name_nobody_knows_is_mended() -> None:
    assert nearest("wale", ["whale", "small"]) == "did you mean whale?"
    assert nearest("x", ["whale", "small"]) == "there are whale, small"
