"""The ledger adds up, the trial that is due is chosen, and the history keeps to the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adx_lab.analysis.nights import nights_of, series_of
from adx_lab.duet.calibrate import table_of
from adx_lab.duet.ledger import calibration_of
from adx_lab.duet.order import DuetOrder
from adx_lab.duet.slowdowns import SLOWDOWNS, busy_patch, catalogue, due
from adx_lab.errors import UsageError
from adx_lab.records import RunRecord
from adx_lab.settings import CHECKOUT, Settings
from adx_lab.stack.sources import commit_of, patched, working_tree
from adx_lab.store.rows import RunStore, stored_rows
from adx_lab.store.trials import Trial, TrialLedger
from tests.conftest import Home

TRIAL = Trial(
    run_id="r0",
    machine="m",
    at="2026-01-01T00:00:00+00:00",
    kind="equal",
    name="equal",
    status="pass",
    found=False,
    blocks=12,
    seconds=120.0,
    smallest_seen=0.04,
)


def trials(count: int, **changes: object) -> list[Trial]:
    return [replace(TRIAL, run_id=f"{changes}{n}", **changes) for n in range(count)]  # type: ignore[arg-type]


def test_trials_outlive_the_call(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    for number in range(3):
        ledger = TrialLedger(url)
        ledger.add(replace(TRIAL, run_id=f"r{number}"))
        ledger.add(replace(TRIAL, run_id=f"other{number}", machine="n"))
        ledger.close()
    ledger = TrialLedger(url)
    assert [trial.run_id for trial in ledger.of("m")] == ["r0", "r1", "r2"]
    assert ledger.of("m")[0] == TRIAL
    ledger.close()


def test_it_adds_up() -> None:
    made = [
        *trials(19),
        *trials(1, found=True, status="invalid"),
        *trials(2, status="invalid", seconds=90.0),  # too busy a machine: no evidence of either kind
        *trials(10, kind="slowed", name="+10%", effect=0.10, found=True),
        *trials(9, kind="slowed", name="+5%", effect=0.05, found=True),
        *trials(1, kind="slowed", name="+5%", effect=0.05, found=False, status="pass"),
        *trials(3, kind="realistic", name="L1 off", found=True, cause="cache.l1", cause_right=True),
        *trials(1, kind="realistic", name="N+1", found=True, cause="query", cause_right=False),
        *trials(2, kind="realistic", name="busy", status="invalid"),
    ]
    known = calibration_of(made)
    assert known.false_positive_rate == pytest.approx(0.05)
    assert (known.n_equal, known.n_slowed) == (20, 24)
    assert known.power == pytest.approx(23 / 24)
    assert known.smallest_effect == 0.05
    assert known.cause_named == 0.75
    rows = {row["name"]: row for row in table_of(made)}
    assert (rows["+5%"]["found"], rows["+5%"]["trials"]) == (9, 10)
    assert rows["busy"]["invalid"] == 2


def test_before_there_are_enough_the_duets_say_what_they_would_have_seen() -> None:
    assert calibration_of(trials(3)).smallest_effect == 0.04


def test_what_is_due_is_what_is_furthest_behind() -> None:
    known = catalogue(SLOWDOWNS)
    assert len([one for one in known if one.kind == "realistic"]) >= 10
    assert due(known, []).name == "equal"
    first = due(known, trials(1))
    assert first.kind == "slowed"
    made: list[Trial] = []
    for number in range(40 + len(known) - 3):
        chosen = due(known, made)
        made.append(replace(TRIAL, run_id=str(number), kind=chosen.kind, name=chosen.name))
    assert {(row["name"], row["trials"]) for row in table_of(made)} >= {
        ("equal", 20),
        ("+5%", 10),
        ("+10%", 10),
        ("L1 off", 1),
    }


def test_a_known_share_becomes_a_patch_that_fits(tmp_path: Path) -> None:
    patch = busy_patch(SLOWDOWNS, tmp_path / "made", 120)
    copy = patched(working_tree(CHECKOUT), patch, tmp_path / "trees")
    assert "120 / 1e6" in (copy.path / "adx_lab" / "core" / "users.py").read_text()


def test_an_order_keeps_to_what_can_decide() -> None:
    assert DuetOrder(".", ".").plan.looks == (12, 16)
    assert DuetOrder(".", ".", blocks=16).plan.looks == (12, 16)
    assert DuetOrder(".", ".", blocks=8).plan.looks == (8,)
    assert DuetOrder(".", ".", blocks=2).cap == 2
    with pytest.raises(UsageError):
        DuetOrder(".", ".", blocks=0)


def test_a_profile_fills_in_what_was_not_said() -> None:
    quick, nightly = DuetOrder(".", ".", profile="quick"), DuetOrder(".", ".")
    assert (quick.plan.looks, nightly.plan.looks) == ((12,), (12, 16))
    assert quick.load_s < nightly.load_s
    assert quick.warming_s < nightly.warming_s
    given = DuetOrder(".", ".", profile="quick", blocks=16, seconds=4, warmup_s=0)
    assert (given.plan.looks, given.load_s, given.warming_s) == ((12, 16), 4, 0)
    with pytest.raises(UsageError, match="there are quick, nightly"):
        DuetOrder(".", ".", profile="slow")


def test_calibrating_with_too_few_blocks_is_refused(home: Home) -> None:
    done = home.adx_lab("calibrate", "--blocks", "2")
    assert done.code == 2
    assert "at least 7" in done.error_lines[0]
    unknown = home.adx_lab("calibrate", "--only", "nothing")
    assert unknown.code == 2
    assert "equal, +10%, +5%" in unknown.error_lines[0]


@pytest.mark.skipif(commit_of(CHECKOUT, "HEAD") is None, reason="no git repository here")
def test_the_baseline_is_a_commit(home: Home) -> None:
    assert home.adx_lab("baseline", "show").code == 2
    kept = home.adx_lab("baseline", "set", "HEAD", "--json").json()
    assert kept["commit"] == commit_of(CHECKOUT, "HEAD")
    assert home.adx_lab("baseline", "show", "--json").json() == kept
    wrong = home.adx_lab("baseline", "set", "nowhere")
    assert wrong.code == 2
    assert "names no commit" in wrong.error_lines[0]
    assert home.adx_lab("baseline", "show", "--json").json() == kept


def store_nights(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    store = RunStore(settings.store_url)
    for night in range(30):
        record = RunRecord(
            run_id=f"n{night:02}",
            kind="duet",
            scenario="mixed",
            started_at=f"2026-01-{night + 1:02}",
            duration_s=60,
            seed=1,
            git={"commit": f"c{night:02}"},
        )
        wobble = 0.01 * (-1) ** (night // 2)
        late = 1.1 if night >= 20 else 1.0
        figures = {"ratio GET /users p50_ms": late + wobble, "ratio all p95_ms": 1.0 + wobble}
        causes = {"cause index idx_users": 0.9} if night >= 20 else {}
        store.save(record, status="regressed" if night >= 20 else "pass", figures=figures | causes)
        tried = {"tried GET /users p50_ms": 9.0}
        store.save(replace(record, run_id=f"t{night:02}"), status="regressed", figures=tried)
    store.close()


def test_the_history_tells_when_and_why(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    store_nights(settings)
    found = {(series.subject, series.metric): series for series in series_of(stored_rows(settings.store_url))}
    assert set(found) == {("GET /users", "p50_ms"), ("all", "p95_ms")}
    assert not found["all", "p95_ms"].changes
    (change,) = found["GET /users", "p50_ms"].changes
    assert (change.direction, change.alarm) == ("slower", True)
    assert (change.before.commit, change.after.commit) == ("c19", "c20")
    assert change.cause == "index idx_users"
    assert len(nights_of([], "mixed")) == 0


def test_the_history_is_printed(home: Home) -> None:
    done = home.adx_lab("runs", "history")
    assert done.code == 0
    assert "0 changes in 0 series" in done.out
