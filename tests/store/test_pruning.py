"""Old runs go, with their reports; the baseline's, the young ones and the damaged ones stay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adx_lab.records.run import LoadAudit, Origin, RunRecord
from adx_lab.settings import Settings, override
from adx_lab.store.folders import run_ids, write_record
from adx_lab.store.pruning import prune

NOW = datetime(2026, 11, 24, tzinfo=UTC)


AUDIT = LoadAudit(began=0.0, duration_s=1.0, requests=0)


def a_run(settings: Settings, run_id: str, started_at: str, commit: str, *, night: str | None = None) -> None:
    folder = settings.runs_dir / run_id
    folder.mkdir(parents=True)
    origin = Origin(commit=commit)
    write_record(
        folder, RunRecord(run_id, "nightly", "mixed", started_at, 1.0, 1, AUDIT, git=origin, night=night)
    )
    (settings.reports_dir / run_id).mkdir(parents=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = override(Settings(home=str(tmp_path)), {"night.keep_days": 30})
    a_run(made, "20260901T000000-aaaaaa", "2026-09-01T00:00:00+00:00", "old")
    a_run(made, "20260902T000000-bbbbbb", "2026-09-02T00:00:00+00:00", "baseline")
    a_run(made, "20260903T000000-cccccc", "2026-09-03T00:00:00+00:00", "old")
    a_run(made, "20261120T000000-dddddd", "2026-11-20T00:00:00+00:00", "new")
    (made.runs_dir / "20260904T000000-eeeeee").mkdir()
    return made


def test_only_the_old_ones_go(settings: Settings) -> None:
    kept = frozenset({"20260903T000000-cccccc"})
    assert prune(settings, baseline_commit="baseline", keep=kept, now=NOW) == ["20260901T000000-aaaaaa"]
    assert "20260901T000000-aaaaaa" not in run_ids(settings.runs_dir)
    assert len(run_ids(settings.runs_dir)) == 4
    assert not (settings.reports_dir / "20260901T000000-aaaaaa").exists()
    assert (settings.reports_dir / "20260902T000000-bbbbbb").exists()


def test_a_clock_that_is_years_ahead_removes_nothing(settings: Settings) -> None:
    a_run(settings, "20400101T000000-ffffff", "2040-01-01T00:00:00+00:00", "new")
    a_run(
        settings, "20400101T000100-ffffff", "2040-01-01T00:01:00+00:00", "new", night="20400101T000000-ffffff"
    )
    before, kept = run_ids(settings.runs_dir), frozenset({"20400101T000000-ffffff"})
    ahead = datetime(2040, 1, 1, 1, tzinfo=UTC)
    removed = prune(settings, baseline_commit=None, keep=kept, now=ahead)
    assert all(run_id < "202610" for run_id in removed)
    assert [run_id for run_id in before if run_id > "202610"] == [
        run_id for run_id in run_ids(settings.runs_dir) if run_id > "202610"
    ]


def test_zero_days_keep_all(settings: Settings) -> None:
    forever = override(settings, {"night.keep_days": 0})
    assert prune(forever, baseline_commit=None, keep=frozenset(), now=NOW) == []
