from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adx_lab.load.recording.server_timing import NOTHING, parse


def test_the_cores_own_header() -> None:
    split = parse(
        'total;dur=2.100, db;dur=0.8;desc="users.get", db;dur=0.4;desc="users.roles", pool;dur=0.05, '
        'cache;desc="l1:permissions", cache;desc="miss:user", valkey;dur=0.3'
    )
    assert split.server_ms == 2.1
    assert split.queries == (("users.get", 0.8), ("users.roles", 0.4))
    assert math.isclose(split.db_ms, 1.2)
    assert (split.valkey_ms, split.pool_ms, split.cache) == (0.3, 0.05, "miss")


@pytest.mark.parametrize(
    ("header", "server_ms", "queries"),
    [
        ("total;dur=1", 1.0, ()),
        ("total ; dur = 1.5 , db ; desc = users ; dur = 2", 1.5, (("users", 2.0),)),
        ('total;desc="a, b; c";dur="7"', 7.0, ()),
        ("db;dur=3", None, ()),
        ("cfRequestDuration;dur=12.9, miss, total;dur=1e1", 10.0, ()),
    ],
)
def test_what_other_services_send(header: str, server_ms: float | None, queries: tuple[object, ...]) -> None:
    split = parse(header)
    assert split.queries == queries
    assert math.isnan(split.server_ms) if server_ms is None else split.server_ms == server_ms


@pytest.mark.parametrize(
    ("header", "layer"), [("", "none"), ("cache;desc=l1, cache;desc=l2, cache;desc=l1", "l2")]
)
def test_the_deepest_layer_counts(header: str, layer: str) -> None:
    assert parse(header).cache == layer


def test_no_header_is_nothing() -> None:
    assert parse(None) is NOTHING


@given(st.text(max_size=200))
def test_no_header_breaks_it(header: str) -> None:
    parse(header)


@pytest.mark.parametrize(
    ("header", "server_ms", "db_ms"),
    [
        ("db;dur=3.5", math.nan, 3.5),
        ("total;dur=9, db;dur=3.5", 9, 3.5),
        ("sql.active_record;dur=1.25, process_action.action_controller;dur=8.5", 8.5, 1.25),
        ('TimerPanel_total;dur=12;desc="Elapsed time", SQLPanel_sql_time;dur=2;desc="SQL 3 queries"', 12, 2),
        ('mp-root;dur=7, sql;dur=2.5;desc="sql"', 7, 2.5),
    ],
)
def test_as_others_send_it(header: str, server_ms: float, db_ms: float) -> None:
    split = parse(header)
    assert split.queries == ()
    assert split.db_ms == db_ms
    assert split.server_ms == server_ms or (math.isnan(server_ms) and math.isnan(split.server_ms))
