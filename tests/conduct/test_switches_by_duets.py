"""What a duet with a switch off says of that switch."""

from __future__ import annotations

from dataclasses import replace

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.verdict import decide
from adx_lab.conduct.switches.by_duets import worth_of
from adx_lab.report.switches.worth_table import switches_table

SAME = Comparison("GET /a", "pair_ms", 0.95, 0.05, 10, 2.0, 2.0, ratio=1.0, status="same", closed=True)
SLOWER = replace(SAME, head=3.0, ratio=1.5, status="slower", closed=False)
MUCH_SLOWER = replace(SLOWER, subject="GET /b", head=8.0, ratio=4.0)
FASTER = replace(SAME, head=1.0, ratio=0.5, status="faster")


def test_it_costs_what_got_worse_most() -> None:
    worth = worth_of("cache", decide(run_id="r", comparisons=(SAME, SLOWER, MUCH_SLOWER, FASTER)))
    assert (worth.status, worth.shown, worth.run_id) == ("costs", MUCH_SLOWER, "r")


def test_it_saves_or_does_nothing() -> None:
    assert worth_of("cache", decide(run_id="r", comparisons=(SAME, FASTER))).status == "saves"
    nothing = worth_of("cache", decide(run_id="r", comparisons=(SAME,)))
    assert (nothing.status, nothing.shown) == ("nothing", None)


def test_what_can_not_be_trusted_is_undecided_with_its_reason() -> None:
    bad = ValidityCheck("foreign_cpu_share", 0.9, 0.2, ok=False)
    worth = worth_of("cache", decide(run_id="r", comparisons=(SLOWER,), validity=(bad,)), measured=False)
    assert (worth.status, worth.words, worth.run_id) == ("undecided", "foreign_cpu_share", None)
    (row,) = switches_table(
        [(worth.switch, worth.status, worth.shown, worth.words, worth.run_id)]
    ).frame.to_dict("records")
    assert (row["switch"], row["says"], row["why"]) == ("cache", "undecided", "foreign_cpu_share")
