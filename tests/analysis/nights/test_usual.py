"""What a night is compared with: the last ones, and what they differ by."""

from __future__ import annotations

import math
import random

import pytest

from adx_lab.analysis.nights.usual import (
    Asked,
    EndpointFigures,
    NightFigures,
    StatementFigures,
    compare_with_usual,
)
from adx_lab.analysis.verdict import decide

LIST, ITEM, SHOW = "GET /orders", "GET /orders/[id]", "GET /customers/[id]/orders"
QUERY = "select * from products where category = ?"


def night(
    number: int, *, factor: float = 1.0, sleep_ms: float = 0.0, asked: float = 2.0, pages: float = 5.0
) -> NightFigures:
    endpoints = {
        LIST: EndpointFigures(900, 0, 5.4 * factor + sleep_ms, 9.0 * factor + sleep_ms),
        ITEM: EndpointFigures(900, 0, 2.1 * factor, 4.0 * factor),
    }
    return NightFigures(
        f"night-{number:03}",
        endpoints,
        {QUERY: StatementFigures(900, 0.06 * pages / 5, pages)},
        {LIST: {QUERY: Asked(1, pages, 0.06 * pages / 5)}, ITEM: {QUERY: Asked(asked, pages, 0.06)}},
    )


def nights(count: int, spread: float, seed: int) -> list[NightFigures]:
    draw = random.Random(seed)
    return [night(number, factor=math.exp(draw.gauss(0, spread))) for number in range(count)]


def test_without_earlier_nights_nothing_is_compared() -> None:
    assert compare_with_usual(night(1), []).comparisons == ()


@pytest.mark.parametrize("spread", [0.03, 0.08])
def test_nights_that_differ_as_nights_do_are_the_same(spread: float) -> None:
    wrong = 0
    for seed in range(100):
        *earlier, tonight = nights(8, spread, seed)
        wrong += any(one.status == "slower" for one in compare_with_usual(tonight, earlier).comparisons)
    assert wrong <= 3


@pytest.mark.parametrize("count", [1, 7])
def test_a_sleep_is_found_at_its_endpoint_and_is_no_statements(count: int) -> None:
    answer = compare_with_usual(night(9, sleep_ms=6.0), nights(count, 0.03, 1))
    assert {one.subject for one in answer.comparisons if one.status == "slower"} == {LIST}
    finding = answer.findings[0]
    assert (finding.kind, finding.endpoints) == ("time", (LIST,))
    assert "5." in finding.cause
    assert "-> 11.4 ms" in finding.cause


def test_a_statement_asked_for_each_row_is_named() -> None:
    answer = compare_with_usual(night(2, asked=14.0), [night(1)])
    slower = {(one.subject, one.metric) for one in answer.comparisons if one.status == "slower"}
    assert (ITEM, "statements_per_request") in slower
    assert {subject for subject, _ in slower} == {ITEM}
    assert (answer.findings[0].kind, answer.findings[0].endpoints) == ("n+1", (ITEM,))
    assert answer.findings[0].evidence["statement"] == QUERY


def test_a_statement_that_reads_more_pages_is_named_with_who_asks_it() -> None:
    answer = compare_with_usual(night(2, pages=466.0), [night(1)])
    finding = next(one for one in answer.findings if one.kind == "statement")
    assert set(finding.endpoints) == {LIST, ITEM}
    assert "466 pages instead of 0.06 ms and 5 pages" in finding.cause


def test_a_dearer_statement_makes_the_night_regressed_even_where_times_can_not_tell() -> None:
    answer = compare_with_usual(night(2, pages=466.0), [night(1)])
    assert any(one.status == "slower" and one.metric == "pages_per_request" for one in answer.comparisons)


@pytest.mark.parametrize(
    ("tonight", "status"),
    [(night(9), "pass"), (night(9, pages=466.0), "regressed"), (night(9, sleep_ms=6.0), "regressed")],
)
def test_the_verdict_is_the_nights(tonight: NightFigures, status: str) -> None:
    answer = compare_with_usual(tonight, nights(3, 0.02, 1))
    verdict = decide(run_id="r", comparisons=answer.comparisons, findings=answer.findings)
    assert verdict.status == status
