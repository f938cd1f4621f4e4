"""What crept in ends a night as regressed, once a cause, until it is undone or accepted."""

from __future__ import annotations

from typing import Any

import numpy as np

from adx_lab.analysis.nights.ratio_series import series_of
from adx_lab.analysis.nights.standing import Crept, crept_in, finding_of, watched
from adx_lab.analysis.verdict import decide
from adx_lab.conduct.nights.night import is_news

ENDPOINTS = ("GET /a", "GET /b", "GET /c", "GET /d", "GET /e", "GET /f")


def rows_of(levels: dict[str, dict[int, float]], *, nights: int = 40, metric: str = "serial_ms") -> list[Any]:
    """Return the rows of nights in which endpoints have another level from a night on."""
    rng = np.random.default_rng(7)
    rows = []
    for night in range(nights):
        figures: dict[str, float | None] = {"baseline abc": None}
        for name in ENDPOINTS:
            level = 1.0
            for since, ratio in levels.get(name, {}).items():
                level = ratio if night >= since else level
            figures[f"ratio {name} {metric}"] = level * float(np.exp(0.01 * rng.normal()))
        rows.append(
            {
                "run_id": f"n{night:02}", "kind": "duet", "scenario": "mixed", "status": "pass",
                "started_at": f"2026-01-{night + 1:02}", "commit_id": f"c{night:02}", "figures": figures,
            }
        )  # fmt: skip
    return rows


def crept(levels: dict[str, dict[int, float]], *, nights: int = 40) -> tuple[Crept, ...]:
    return crept_in(watched(series_of(rows_of(levels, nights=nights))))


def test_nothing_changed_and_nothing_stands() -> None:
    assert crept({}) == ()
    assert crept_in(()) == ()


def test_what_began_together_is_one_cause_with_its_endpoints() -> None:
    (one,) = crept({"GET /b": {25: 1.1}, "GET /e": {25: 1.05}})
    assert [name for name, _ in one.changes] == ["GET /b", "GET /e"]
    assert (one.first.before.commit, one.first.after.commit) == ("c24", "c25")
    finding = finding_of(one, tonight="n39", commits=["c25 Sum up more"])
    assert (finding.kind, finding.subject, finding.endpoints) == ("history", "GET /b", ("GET /b", "GET /e"))
    assert finding.evidence["began"] == {"run_id": "n25", "date": "2026-01-26"}
    assert finding.evidence["commits"] == "c24..c25"
    assert "between commits c24 and c25" in finding.cause


def test_two_that_began_apart_are_two() -> None:
    assert len(crept({"GET /b": {18: 1.1}, "GET /e": {30: 1.1}})) == 2


def test_what_was_undone_stands_no_more() -> None:
    assert len(crept({"GET /b": {20: 1.1}})) == 1
    assert crept({"GET /b": {20: 1.1, 36: 1.0}}, nights=50) == ()
    # Half a mend is none.
    assert len(crept({"GET /b": {20: 1.2, 36: 1.15}}, nights=50)) == 1


def test_a_new_baseline_accepts_what_crept_in() -> None:
    rows = rows_of({"GET /b": {20: 1.1}})
    for row in rows[35:]:
        row["figures"]["baseline def"] = row["figures"].pop("baseline abc")
    assert crept_in(watched(series_of(rows))) == ()


def test_only_what_the_code_costs_is_watched() -> None:
    rows = rows_of({"GET /b": {20: 1.2}}, metric="p95_ms")
    assert watched(series_of(rows)) == ()
    both = [a | {"figures": a["figures"] | b["figures"]} for a, b in zip(rows, rows_of({}), strict=True)]
    assert {one.metric for one in watched(series_of(both))} == {"serial_ms"}


def test_the_night_is_regressed_and_the_webhook_is_told_once() -> None:
    """On the night that it is found, and not on those after it, which stay regressed."""
    levels = {"GET /b": {25: 1.1}}
    told, status = [], []
    for nights in range(25, 40):
        tonight = f"n{nights - 1:02}"
        findings = tuple(finding_of(one, tonight=tonight) for one in crept(levels, nights=nights))
        verdict = decide(run_id=tonight, budgets=(), findings=findings)
        status.append(verdict.status)
        if findings and is_news(verdict):
            told.append(tonight)
    assert told == ["n26"]
    assert status[:2] == ["undecided"] * 2
    assert set(status[2:]) == {"regressed"}
