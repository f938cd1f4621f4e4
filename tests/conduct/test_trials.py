"""The ledger adds up, the trial that is due is chosen, and the history keeps to the baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.nights.ratio_series import nights_of, series_of
from adx_lab.analysis.verdict import Calibration
from adx_lab.conduct.calibration.calibrate import table_of
from adx_lab.conduct.calibration.slowdowns import SLOWDOWNS, busy_patch, catalogue, due
from adx_lab.conduct.duet.judge import DuetEvidence, broken_early, judge_duet
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.trials import calibration_of
from adx_lab.errors import UsageError
from adx_lab.records.run import DuetAudit, Origin, RunRecord
from adx_lab.services.sources import commit_of, patched, working_tree
from adx_lab.settings import CHECKOUT, Settings
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
    settings = Settings(home=str(tmp_path))
    for number in range(3):
        ledger = TrialLedger(settings)
        ledger.add(replace(TRIAL, run_id=f"r{number}"))
        ledger.add(replace(TRIAL, run_id=f"other{number}", machine="n"))
        ledger.close()
    ledger = TrialLedger(settings)
    assert [trial.run_id for trial in ledger.of("m")] == ["r0", "r1", "r2"]
    assert ledger.of("m")[0] == TRIAL
    ledger.close()


def test_it_adds_up() -> None:
    made = [
        *trials(19),
        *trials(1, found=True, status="regressed"),
        *trials(2, status="invalid", seconds=90.0),  # too busy a machine: no evidence of either kind,
        *trials(1, status="invalid", found=True),  # whatever it seemed to see
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


def test_a_trial_that_is_always_invalid_starves_nobody() -> None:
    known = catalogue(SLOWDOWNS)
    made: list[Trial] = []
    for number in range(len(known) + 80):
        chosen = due(known, made)
        status = "invalid" if chosen.name == "L1 off" else "pass"
        made.append(replace(TRIAL, run_id=str(number), kind=chosen.kind, name=chosen.name, status=status))
    rows = {row["name"]: row["trials"] for row in table_of(made)}
    assert rows["L1 off"] > 1
    assert set(rows) == {one.name for one in known}


def test_what_a_machine_is_known_for_does_not_decide_its_own_trials() -> None:
    """Or it could never be known for better: its equals would all be invalid."""
    evidence = equal_evidence()
    liar = Calibration(false_positive_rate=0.5, power=None, smallest_effect=None, n_equal=20)
    checks = {check.check for check in judge_duet(replace(evidence, calibration=liar)).verdict.validity}
    assert "machine_false_positive_rate" not in checks
    variants = {"base": {"identity": "a"}, "head": {"identity": "b"}}
    other = replace(evidence, calibration=liar, variants=variants)
    judged = judge_duet(other).verdict
    assert {c.check: c.ok for c in judged.validity}["machine_false_positive_rate"] is False
    trial = judge_duet(replace(other, calibrating=True)).verdict
    assert "machine_false_positive_rate" not in {check.check for check in trial.validity}


def test_one_early_fault_ends_no_duet() -> None:
    evidence = equal_evidence()
    samples = evidence.samples.copy()
    samples.loc[0, "error"] = "500"  # one of 40: 2.5% of base's, in the first block
    assert not broken_early(replace(evidence, samples=samples))
    samples.loc[:4, "error"] = "500"
    assert broken_early(replace(evidence, samples=samples))
    lost = evidence.samples.copy()
    lost.loc[lost["variant"] == "head", "error"] = "500"
    assert broken_early(replace(evidence, samples=lost))


def equal_evidence() -> DuetEvidence:
    """One block of forty pairs, as a duet leaves it."""
    n = 40
    half = pd.DataFrame(
        {
            "block": 1, "pair": np.arange(n), "endpoint": "GET /users", "status": 200, "error": None,
            "service_ms": np.random.default_rng(1).lognormal(0, 0.2, n), "bytes": 100, "cache": "l1",
        }
    )  # fmt: skip
    half["latency_ms"] = half["server_ms"] = half["service_ms"]
    samples = pd.concat([half.assign(variant=side) for side in ("base", "head")], ignore_index=True)
    side = {
        "requests": n, "cpu_s": 0.1, "rss_mb": [50.0, 50.0], "statements": {}, "lag": {}, "cache": {},
        "pool_max": 100.0, "invalidations": 0.0, "valkey_commands": 1.0,
    }  # fmt: skip
    block = {
        "block": 1, "loop_lag_p99_ms": 1.0, "cpu_share_max": 0.3, "steal_share": 0.0, "unanswered": 0,
        "foreign_cpu_share": 0.0,
    }  # fmt: skip
    return DuetEvidence(
        run_id="r",
        samples=samples,
        queries=pd.DataFrame({"sample": [], "query": [], "ms": []}),
        blocks=(block,),
        companions=({"base": side, "head": side},),
        variants={"base": {"identity": "a"}, "head": {"identity": "a"}},
        design=DuetOrder(".", ".", blocks=12).design,
    )


def test_a_known_share_becomes_a_patch_that_fits(tmp_path: Path) -> None:
    patch = busy_patch(SLOWDOWNS, tmp_path / "made", 120)
    copy = patched(working_tree(CHECKOUT), patch, tmp_path / "trees")
    assert "120 / 1e6" in (copy.path / "adx_lab" / "core" / "users" / "users.py").read_text()


def test_an_order_keeps_to_what_can_decide() -> None:
    assert DuetOrder(".", ".").design.looks == (12, 16)
    assert DuetOrder(".", ".", blocks=16).design.looks == (12, 16)
    assert DuetOrder(".", ".", blocks=8).design.looks == (8,)
    assert DuetOrder(".", ".", blocks=2).cap == 2
    with pytest.raises(UsageError):
        DuetOrder(".", ".", blocks=0)


def test_a_profile_fills_in_what_was_not_said() -> None:
    quick, nightly = DuetOrder(".", ".", profile="quick"), DuetOrder(".", ".")
    assert (quick.design.looks, nightly.design.looks) == ((10, 18), (12, 16))
    assert quick.load_s < nightly.load_s
    assert quick.warming_s < nightly.warming_s
    given = DuetOrder(".", ".", profile="quick", blocks=16, seconds=4, warmup_s=0)
    assert (given.design.looks, given.load_s, given.warming_s) == ((12, 16), 4, 0)
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
    store = RunStore(settings)
    for night in range(30):
        record = RunRecord(
            run_id=f"n{night:02}",
            purpose="duet",
            scenario="mixed",
            started_at=f"2026-01-{night + 1:02}",
            duration_s=60,
            seed=1,
            audit=DuetAudit(design={}, variants={}, blocks=[]),
            variants=("main", "."),
            git=Origin(commit=f"c{night:02}"),
        )
        wobble = 0.01 * (-1) ** (night // 2)
        late = 1.1 if night >= 20 else 1.0
        figures = {"ratio GET /users p50_ms": late + wobble, "ratio all p95_ms": 1.0 + wobble}
        causes = {"cause index idx_users": 0.9} if night >= 20 else {}
        store.save(record, status="regressed" if night >= 20 else "pass", figures=figures | causes)
        tried = {"tried GET /users p50_ms": 9.0}
        store.save(msgspec.structs.replace(record, run_id=f"t{night:02}"), status="regressed", figures=tried)
    store.close()


def test_the_history_tells_when_and_why(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    store_nights(settings)
    found = {(series.subject, series.metric): series for series in series_of(stored_rows(settings))}
    assert set(found) == {("GET /users", "p50_ms"), ("all", "p95_ms")}
    assert not found["all", "p95_ms"].changes
    (change,) = found["GET /users", "p50_ms"].changes
    assert (change.direction, change.alarm) == ("slower", True)
    assert (change.before.commit, change.after.commit) == ("c19", "c20")
    assert change.cause == "index idx_users"
    assert len(nights_of([], "mixed")) == 0


def test_another_baseline_is_no_change_of_the_tree() -> None:
    """A tree that is 10% faster than the old baseline is as fast as itself, once it is the baseline."""

    def row(night: int, baseline: str, ratio: float) -> dict[str, object]:
        wobble = 0.01 * (-1) ** (night // 2)
        figures = {"ratio all p50_ms": ratio + wobble, f"baseline {baseline}": None}
        return {
            "run_id": f"n{night:02}", "kind": "duet", "scenario": "mixed", "status": "pass",
            "started_at": f"2026-01-{night + 1:02}", "commit_id": f"c{night}", "figures": figures,
        }  # fmt: skip

    def found(later: str) -> list[str]:
        rows = [row(night, "a", 1.0 if night < 15 else 0.9) for night in range(40)]
        rows += [row(night, later, 1.0) for night in range(40, 55)]
        (series,) = series_of(rows)
        assert len(series.nights) == 55
        return [change.direction for change in series.changes]

    assert found("a") == ["faster", "slower"]
    assert found("b") == ["faster"]


def test_the_history_is_printed(home: Home) -> None:
    done = home.adx_lab("runs", "history")
    assert done.code == 0
    assert "0 changes in 0 series" in done.out
