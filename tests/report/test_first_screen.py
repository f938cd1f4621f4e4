"""What the first screen and a terminal say of many comparisons: the telling ones, in figures that agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.verdict import decide
from adx_lab.cli.duet_text import print_duet
from adx_lab.conduct.duet.judge import DuetAnswer
from adx_lab.report.duet.comparison_tables import telling
from adx_lab.report.page.answer import answer_of, size_words
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.sections import observing_words


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
