"""Which stored rows make the history."""

from __future__ import annotations

from typing import Any

from adx_lab.analysis.nights.ratio_series import nights_of, unjudged_nights


def row(run_id: str, **other: Any) -> dict[str, Any]:
    figures = {"ratio GET /users pair_ms": 1.1, "baseline abc": None}
    usual = {"kind": "duet", "scenario": "mixed", "status": "pass", "started_at": run_id, "commit_id": "c"}
    return {"run_id": run_id, "figures": figures} | usual | other


def test_only_valid_duets_of_the_scenario_against_the_baseline_are_nights() -> None:
    rows = [
        row("1"),
        row("2", status="invalid"),
        row("3", kind="load"),
        row("4", scenario="steps"),
        row("5", figures={"tried GET /users pair_ms": 9.0}),
        row("6", status="regressed"),
    ]
    ((key, nights),) = nights_of(rows, "mixed").items()
    assert key == ("GET /users", "pair_ms")
    assert [night.run_id for night in nights] == ["1", "6"]
    assert {night.baseline for night in nights} == {"abc"}


def test_nights_that_say_nothing_are_kept_in_sight() -> None:
    """Invalid duets of nights, and loads whose duet could not be played; not what somebody tried out."""
    rows = [
        row("1"),
        row("2", status="invalid"),
        row("3", status="invalid", figures={"tried GET /users pair_ms": 1.0}),
        row("4", kind="load", status="invalid"),
        row("5", status="invalid"),
        row("6", kind="load", status="invalid"),
        row("7", kind="load", status="pass"),
    ]
    assert [night.run_id for night in unjudged_nights(rows, "mixed")] == ["2", "5", "6"]
    assert unjudged_nights(rows, "steps") == ()
