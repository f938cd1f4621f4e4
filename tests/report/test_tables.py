"""One table object, four ways to see it."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from adx_lab.report.parts.table import Cell, Column, Table, change, percentage
from adx_lab.report.parts.table_text import cells, table_text

COLUMNS = (
    Column("endpoint"),
    Column("p95", "ms", "number"),
    Column("interval", "ms", "number", key="p95_{}_ms", interval=True),
    Column("share", kind="share", bar=True),
    Column("change", kind="ratio", key="ratio"),
    Column("status", kind="status"),
    Column("internal", seen="machines"),
)
TABLE = Table(
    COLUMNS,
    (
        ("GET /users", 12.3456789, (10.0, None), 0.12, 6.0, "slower", 1),
        (Cell("GET /files", "GET /files", "#files"), None, None, 0.0004, 0.98, "pass", 2),
    ),
)


def test_people_see_three_digits_and_machines_all() -> None:
    assert TABLE.header == ("endpoint", "p95 ms", "interval ms", "share", "change", "status")
    assert TABLE.texts == (
        ("GET /users", "12.3", "10 to …", "12%", "×6", "slower"),
        ("GET /files", "–", "–", "< 0.1%", "−2.0%", "pass"),
    )
    frame = TABLE.frame
    assert list(frame.columns) == [
        *("endpoint", "p95_ms", "p95_low_ms", "p95_high_ms", "share", "ratio", "status", "internal")
    ]
    assert frame["p95_ms"].iloc[0] == 12.3456789
    assert frame["endpoint"].iloc[1] == "GET /files"
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(TABLE.csv())), frame, check_dtype=False)


def test_html_can_be_sorted_and_followed() -> None:
    html = TABLE.html()
    assert 'data-label="p95 ms" class="n" data-v="12.3457">12.3</td>' in html
    assert '<a href="#files">GET /files</a>' in html
    assert 'class="bad">slower</td>' in html
    assert "internal" not in html
    assert "data-filter" not in html
    assert "data-filter" in Table(COLUMNS, TABLE.rows * 6).html()


@pytest.mark.parametrize("width", [80, 60, 44])
def test_a_terminal_gets_what_fits(width: int) -> None:
    long = "What PostgreSQL does differently: Seq Scan on users instead of an index, 1,234 pages more a call"
    table = Table((Column("query"), Column("ms", kind="number"), Column("words")), (("q", 12.5, long),))
    lines = table_text(table, width=width).splitlines()
    assert max(map(cells, lines)) <= width
    assert " ".join(" ".join(line.split("  ")[-1].strip() for line in lines[2:]).split()).endswith("a call")
    whole = table_text(table, width=None).splitlines()
    assert len(whole) == 3
    assert whole[-1].endswith(long)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_narrow_terminal_breaks_no_word_and_leaves_out_what_can_be_spared(width: int) -> None:
    columns = (
        *(
            Column("subject"),
            Column("metric"),
            Column("status", kind="status"),
            Column("base", kind="number"),
        ),
        *(Column("interval", kind="ratio", interval=True), Column("could see", kind="change", spare=True)),
    )
    rows = (
        ("GET /files/{id}/content (range)", "one at a time, server [ms]", "undecided", 3.52, (0.8, 1.1), 1.1),
        ("POST /workflows/{name}/runs", "CPU of the database, a request", "slower", 1.2, (1.1, 2.4), 0.4),
    )
    lines = table_text(Table(columns, rows), width=width).splitlines()
    assert max(map(cells, lines)) <= width
    pieces = {piece for line in lines for piece in line.split()}
    for word in ("/files/", "{id}/", "undecided", "database,", "(range)", "/workflows/", "{name}/"):
        assert any(word in piece for piece in pieces), word
    whole = table_text(Table(columns, rows), width=None)
    assert "could see" in whole
    narrow = table_text(
        Table((*columns, Column("p", kind="number", spare=True)), tuple((*r, 0.5) for r in rows)), width=50
    )
    assert "could" not in narrow
    assert "interval" in narrow


def test_numbers_stand_to_the_right_and_a_status_has_its_colour() -> None:
    table = Table((Column("a", kind="number"), Column("b", kind="status")), ((1.0, "fail"), (1000.0, "pass")))
    assert table_text(table, width=None).splitlines()[2:] == ["    1  fail", "1,000  pass"]
    coloured = table_text(table, width=80, colour=True)
    assert "\x1b[31;1mfail\x1b[0m" in coloured
    assert "\x1b[32mpass\x1b[0m" in coloured


def test_wide_letters_take_two_cells() -> None:
    table = Table((Column("name"), Column("n", kind="number")), (("表", 1.0), ("ab", 2.0)))
    assert table_text(table, width=None).splitlines()[2:] == ["表    1", "ab    2"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.0004, "< 0.1%"), (0.012, "1.2%"), (0.5, "50%"), (0.9991, "99.91%"), (1.0, "100%")],
)
def test_a_share_is_a_percentage(share: float, text: str) -> None:
    assert percentage(share) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0, "+0.0%"), (-0.02, "−2.0%"), (0.5, "+50.0%"), (5.1, "×6.1")]
)
def test_a_change_says_its_sign(fraction: float, text: str) -> None:
    assert change(fraction) == text


def test_a_notebook_folds_a_long_table_and_prints_none_of_its_rows() -> None:
    short, long = (Table((Column("name"),), tuple((f"r{n}",) for n in range(count))) for count in (3, 50))
    assert "<details>" not in short._repr_html_()
    assert "<summary>50 rows: name</summary>" in long._repr_html_()
    assert repr(long) == "<Table of 50 rows: name>"


def test_a_name_moves_no_cursor() -> None:
    table = Table((Column("endpoint"),), (("GET /a\x1b[2J\x07\u202e\x9b31m",),))
    for width in (None, 40):
        assert table_text(table, width=width).replace("\n", "").isprintable()


def test_no_zero_has_a_sign() -> None:
    assert (percentage(-0.0004), percentage(-0.009)) == ("0%", "−0.9%")


def test_only_long_words_may_break_and_a_phone_does_without_what_is_spare() -> None:
    made = Table((Column("tenant"), Column("name"), Column("p", spare=True)), (("whale", "x" * 20, "1"),))
    assert '"tenant">whale<' in made.html()
    assert '"name" class="long">' in made.html()
    assert '"p" class="spare">' in made.html()
