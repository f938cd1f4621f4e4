"""What is looked into: what became slower, whether or not it matters yet, and of equals nothing."""

from __future__ import annotations

import pandas as pd

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.functions.suspects import suspects, waiting_ones


def comparison(subject: str, ratio: float, p: float, metric: str = "serial_ms") -> Comparison:
    return Comparison(subject, metric, 0.99, 0.05, 10, ratio=ratio, p=p)


def test_the_slowest_come_first_and_equals_are_left_alone() -> None:
    told = [
        comparison("GET /a", 1.04, 0.004),
        comparison("GET /b", 1.30, 0.001),
        comparison("GET /c", 1.50, 0.300),
        comparison("GET /d", 0.70, 0.001),
        comparison("GET /e", 1.90, 0.001, "response_bytes"),
        comparison("all", 1.05, 0.001),
    ]
    assert suspects(told) == ("GET /b", "GET /a")
    assert suspects(told, most=1) == ("GET /b",)
    assert suspects([comparison("GET /c", 1.5, 0.3)]) == ()


def test_where_all_are_a_little_slower_the_change_is_looked_for_where_it_shows_most() -> None:
    told = [comparison(f"GET /{i}", 1 + i / 100, 0.2) for i in range(9)] + [comparison("all", 1.04, 0.001)]
    assert suspects(told) == ("GET /8", "GET /7", "GET /6", "GET /5", "GET /4")


def test_some_are_looked_into_where_somebody_asks_for_it() -> None:
    told = [comparison(f"GET /{i}", 1 + i / 1000, 0.5) for i in range(9)]
    assert suspects(told) == ()
    assert suspects(told, always=True)[0] == "GET /8"


def test_one_waits_whose_time_neither_the_service_computes_nor_the_database_takes() -> None:
    computes, asks, sleeps = "GET /computes", "GET /asks", "GET /sleeps"
    of_head = {computes: (600.0, 10.0), asks: (110.0, 500.0), sleeps: (110.0, 10.0)}
    counted, executed = [], []
    for endpoint, spent in of_head.items():
        for side, (cpu_ms, database_ms) in (("base", (100.0, 10.0)), ("head", spent)):
            told = {"variant": side, "endpoint": endpoint}
            counted.append({**told, "requests": 100, "cpu_ms": cpu_ms})
            executed.append({**told, "exec_ms": database_ms})
    slower = [
        Comparison(name, "serial_ms", 0.99, 0.05, 10, ratio=2.0, p=0.001, base=5.0, head=10.0)
        for name in of_head
    ]
    counts, statements = pd.DataFrame(counted), pd.DataFrame(executed)
    assert waiting_ones(list(of_head), slower, counts, statements) == {sleeps}
    assert waiting_ones([computes, asks], slower, counts, statements) == frozenset()
    assert waiting_ones([sleeps], slower, None, None) == frozenset()
