"""What the first screen and a terminal say of many comparisons: the telling ones, in figures that agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import BEGAN_LATER, Coverage
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.verdict import decide
from adx_lab.cli.duet_text import print_duet
from adx_lab.conduct.duet.judge import DuetAnswer
from adx_lab.report.duet.comparison_tables import telling
from adx_lab.report.page.answer import answer_of
from adx_lab.report.page.exports import junit, markdown
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.sections import observing_words
from adx_lab.report.page.sizes import size_words
from tests.report.test_exports import a_budget


def compared(subject: str, metric: str, status: str, ratio: float, *, gate: bool = True) -> Comparison:
    return Comparison(
        subject, metric, 0.9, 0.05, 10, base=2.0, head=3.0, ratio=ratio, low=ratio - 0.1, high=ratio + 0.1,
        p=0.001, status=status, gate=gate,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_size_its_interval_and_its_change_agree() -> None:
    # The medians say half as much again, the pairs a fifth: one sentence can't say both.
    said = size_words(None, [compared("GET /users", "serial_ms", "slower", 1.2)], "GET /users")
    assert said == "2.4 ms (2.2 to 2.6) instead of 2 ms, +20.0%"
    cold = size_words(None, [compared("GET /users", "cold_ms", "slower", 1.2)], "GET /users")
    assert cold.startswith("with nothing cached 2.4 ms")


def test_a_count_that_rose_is_told_with_the_time() -> None:
    rose = replace(compared("GET /users", "statements_per_request", "slower", 1.5), unit="statements")
    time = compared("GET /users", "serial_ms", "undecided", 1.02)
    said = size_words(None, [time, rose], "GET /users")
    assert said == (
        "statements of a request: 3 statements instead of 2 statements; "
        "2.04 ms (1.84 to 2.24) instead of 2 ms, +2.0%"
    )


def test_the_worst_endpoint_is_told_first_and_each_once() -> None:
    names = ("GET /a", "GET /b", "GET /c")
    comparisons = tuple(compared(name, "serial_ms", "slower", 1.2 + n / 10) for n, name in enumerate(names))
    causes = (
        Finding("n+1", "q", "q runs 10 times", {}, 0.9, names),
        Finding("cpu", "c", "more", {}, None, names),
    )
    verdict = decide(run_id="r", comparisons=comparisons, findings=causes)
    first, second = answer_of(Contents(), verdict).told
    assert (first.subject, [name for name, _ in first.others]) == ("GET /c", ["GET /b", "GET /a"])
    assert (second.subject, second.size, second.others) == ("GET /c", "", ())


def test_a_terminal_shows_what_tells_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    found = [compared(f"GET /same/{n}", "response_bytes", "same", 1.0) for n in range(500)]
    found += [compared(f"GET /open/{n}", "serial_ms", "undecided", 1.1) for n in range(40)]
    found += [compared("GET /slow", "cpu_ms_per_request", "slower", 2.0)]
    assert telling(found)[0].subject == "GET /slow"
    verdict = decide(run_id="r", comparisons=tuple(found))
    print_duet(DuetAnswer(verdict))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    assert "521 more comparisons: 500 same, 21 undecided; --json and the page have each" in lines


def test_what_is_open_is_named_with_what_is_known() -> None:
    found = [replace(compared("GET /users", "serial_ms", "undecided", 1.2), smallest_effect=0.05)]
    answer = answer_of(Contents(), decide(run_id="r", comparisons=found))
    assert answer.headline == "It can't be told yet whether GET /users became slower"
    known = "GET /users: 2.4 ms (2.2 to 2.6) instead of 2 ms, +20.0%"
    assert answer.unclear == (f"{known}; that it is slower by 5.0% can't be ruled out",)
    many = [replace(found[0], subject=f"GET /things/{n}") for n in range(9)]
    answer = answer_of(Contents(), decide(run_id="r", comparisons=many))
    assert answer.headline == "It can't be told yet whether 9 endpoints became slower"
    assert answer.unclear[-1] == "and 5 more: the comparisons have each"
    budget = a_budget("users", 50, "undecided")
    alone = answer_of(Contents(), decide(run_id="r", budgets=[budget]))
    assert alone.headline == "It can't be told yet whether every budget is kept"
    assert "--profile" not in alone.next_words()


def test_what_was_not_judged_is_told_once_by_its_reason() -> None:
    left = Coverage(12, 0, unjudged=tuple(f"GET /things/{n}: too few whole pairs" for n in range(12)))
    finding = Finding("unjudged", "coverage", "not judged: GET /things/0: too few whole pairs", {})
    added = Finding("added", "routes", "only head has it: GET /new", {})
    verdict = decide(run_id="r", coverage=left, findings=(finding, added))
    answer = answer_of(Contents(), verdict)
    assert answer.told == ()
    assert answer.judged.count("too few whole pairs") == 1
    assert answer.judged.endswith("and 4 more.")
    assert answer.warnings == ("Only head has it: GET /new",)


def test_what_nothing_explains_is_told_in_words_everywhere() -> None:
    cause = "slower, and nothing that was counted says why"
    slower = replace(compared("all", "serial_ms", "slower", 1.2), base=None, head=None)
    finding = Finding("unexplained", "all", cause, {}, endpoints=("all",))
    later = replace(compared("GET /events", "serial_server_ms", "undecided", 1.4), caveats=(BEGAN_LATER,))
    verdict = decide(run_id="r", comparisons=(slower, replace(later, gate=False)), findings=(finding,))
    answer = answer_of(Contents(), verdict)
    (told,) = answer.told
    assert (told.subject, told.endpoint, told.links) == ("all endpoints", None, ())
    assert told.cause == cause[0].upper() + cause[1:]
    assert told.size == "+20.0% against the baseline"
    known = "GET /events: the server takes 2.8 ms (2.6 to 3) instead of 2 ms, +40.0%"
    assert answer.warnings == (f"{known}; the answer began later, but the whole of it came no later",)
    text = markdown(verdict)
    assert f"- **unexplained**: all endpoints: {cause}" in text
    assert "- **note**: GET /events: the answer began later" in text
    assert "the answer began later" in junit(verdict)


@pytest.mark.parametrize(
    ("observed_ms", "said"),
    [
        (0.2515, "has no measurable cost (0.252 ms a query)"),
        (0.277, "take 0.277 ms instead of 0.252 ms (+9.9%)"),
    ],
)
def test_what_observing_costs(observed_ms: float, said: str) -> None:
    cost = {"bare_ms": 0.252, "observed_ms": observed_ms, "timed_ms": 0.3}
    assert said in observing_words(cost)
