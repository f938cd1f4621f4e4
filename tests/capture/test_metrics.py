from __future__ import annotations

from adx_lab.capture.service.cache import cache_rows
from adx_lab.capture.service.metrics import parse_metrics, read_metrics

PAGE = """\
# HELP cache_hits Look-ups answered.
# TYPE cache_hits counter
cache_hits_total{layer="memory",family="user"} 90
cache_hits_total{family="user",layer="redis"} 7
cache_misses_total{family="user"} 3
cache_misses_total{family="role \\"x\\""} 1e1
up 1
broken line without a value
nonsense{a="b"} NaNa
"""


def test_a_page_is_read_and_odd_lines_are_passed_over() -> None:
    samples = parse_metrics(PAGE)
    assert [(sample.name, sample.value) for sample in samples][-2:] == [
        ("cache_misses_total", 10.0),
        ("up", 1.0),
    ]


def test_cache_counters_become_rows_by_layer() -> None:
    rows = cache_rows(parse_metrics(PAGE), 2.5)
    assert {(row["layer"], row["family"]): row["hits"] for row in rows} == {
        ("l1", "user"): 90,
        ("l2", "user"): 7,
        ("database", "user"): 3,
        ("database", 'role \\"x\\"'): 10,
    }
    assert {row["t_s"] for row in rows} == {2.5}


def test_a_page_that_nobody_serves_is_empty() -> None:
    assert read_metrics("http://127.0.0.1:1/metrics") == []
