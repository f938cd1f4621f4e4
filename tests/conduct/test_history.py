"""What crept in over the nights ends a night as regressed, with the commits between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.conduct.duet.judge import judge_duet
from adx_lab.conduct.nights.history import crept_tonight
from adx_lab.records.run import DuetAudit, Origin, RunRecord
from adx_lab.report.page.measured_night import with_history
from adx_lab.settings import Settings
from adx_lab.store.folders import open_run
from adx_lab.store.rows import RunStore
from tests.conduct.known_duet import NAMES, known_duet
from tests.promises.stored_duet import store_duet

BEGAN = 30


def store_nights(settings: Settings, slower: str, *, nights: int = 36) -> str:
    """Store nights of which the last are 6% slower at one endpoint; return the latest night's duet."""
    rng = np.random.default_rng(1)
    store = RunStore(settings)

    def figures(night: int) -> dict[str, float | None]:
        ratios: dict[str, float | None] = {
            f"ratio {name} serial_ms": float(np.exp(0.01 * rng.normal()))
            * (1.06 if name == slower and night >= BEGAN else 1.0)
            for name in NAMES
        }
        return ratios | {"baseline abc": None}

    for night in range(nights - 1):
        record = RunRecord(
            run_id=f"20200101T0000{night:02}-aaaaaa",
            purpose="duet",
            scenario="mixed",
            started_at=f"2020-01-{night + 1:02}",
            duration_s=60,
            seed=1,
            audit=DuetAudit(design={}, variants={}, blocks=[]),
            git=Origin(commit=f"c{night:02}"),
            variants=("base", "."),
        )
        store.save(record, status="pass", figures=figures(night))
    tonight = store_duet(settings, known_duet(np.random.default_rng(2)))
    store.save(open_run(settings.runs_dir, tonight).record, status="pass", figures=figures(nights - 1))
    store.close()
    return tonight


def test_a_slowdown_too_small_for_one_night_is_told_by_the_nights(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    tonight = store_nights(settings, "GET /users")
    (found,) = crept_tonight(settings, tonight)
    assert (found.kind, found.subject, found.endpoints) == ("history", "GET /users", ("GET /users",))
    assert found.evidence["began"]["date"] == f"2020-01-{BEGAN + 1}"
    assert found.evidence["commits"] == f"c{BEGAN - 1}..c{BEGAN}"
    assert "bisect" in (found.mend or "")
    duet = judge_duet(known_duet(np.random.default_rng(2))).verdict
    assert duet.status != "regressed"
    verdict = decide(
        run_id=tonight,
        comparisons=duet.comparisons,
        coverage=duet.coverage,
        findings=with_history(duet, (found,)),
    )
    assert (verdict.status, verdict.exit_code) == ("regressed", 1)
    # A page of an earlier night that is made again knows nothing of the nights after it.
    assert crept_tonight(settings, "20200101T000029-aaaaaa") == ()


def test_nights_without_a_change_say_nothing(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    assert crept_tonight(settings, store_nights(settings, "nothing of the kind")) == ()


def test_what_the_duet_sees_by_itself_is_one_finding_with_its_age() -> None:
    head = known_duet(np.random.default_rng(3), slower={"GET /users": 1.5})
    duet: Verdict = judge_duet(head).verdict
    assert duet.status == "regressed"
    cause = Finding("cpu", "GET /users", "the service computes more", {}, endpoints=("GET /users",))
    old = Finding(
        "history",
        "GET /users",
        "it crept in",
        {"began": {"run_id": "r", "date": "2020-01-30"}, "commits": "a..b", "commits_between": []},
        endpoints=("GET /users",),
    )
    (told,) = with_history(replace(duet, findings=(cause,)), (old,))
    assert told.kind == "cpu"
    assert told.evidence["history"]["commits"] == "a..b"
    assert told.cause.endswith("it began on the night of 2020-01-30")
    elsewhere = replace(old, subject="GET /files", endpoints=("GET /files",))
    both = with_history(replace(duet, findings=(cause,)), (elsewhere,))
    assert [one.kind for one in both] == ["cpu", "history"]
