"""Plans as they come out of programs, consoles, pages and collectors of logs: read all the same."""

from __future__ import annotations

import codecs
import csv
import html
import io
import json
import xml.sax.saxutils
from pathlib import Path
from typing import Any

import pytest

from adx_lab.analysis.plans import read_plans, scan_plans
from adx_lab.cli.plans_show import read_text
from adx_lab.errors import UsageError

TEXT = """Sort  (cost=1.00..2.00 rows=9 width=4) (actual time=0.800..0.900 rows=9 loops=1)
  Sort Key: o.id
  ->  Nested Loop  (cost=0.00..1.00 rows=9 width=4) (actual time=0.100..0.700 rows=9 loops=1)
        Join Filter: (o.note <> 'it''s "so"'::text)
        ->  Seq Scan on orders o  (cost=0.00..1.00 rows=9 width=4) (actual time=0.010..0.020 rows=9 loops=1)
              Filter: (note > 'a'::text)
        ->  Function Scan on f  (cost=0.00..1.00 rows=1 width=4) (actual time=0.010..0.010 rows=1 loops=9)
              Filter: (x < (SubPlan 1))
              SubPlan 1
                ->  Result  (cost=0.00..0.01 rows=1 width=4) (actual time=0.001..0.001 rows=1 loops=9)
Planning Time: 0.100 ms
Execution Time: 1.000 ms"""
LINES = TEXT.splitlines()
BODY: dict[str, Any] = dict(read_plans(TEXT)[0].body)
JSON = json.dumps([BODY], indent=2)
TAG = "<table><tr><th>QUERY PLAN</th></tr>\n{}</table>"


def each(form: str, quote: Any = str) -> str:
    return "\n".join(form.format(quote(line)) for line in LINES)


def doubled(line: str) -> str:
    return line.replace('"', '""')


def tabbed(line: str, width: int) -> str:
    spaces = len(line) - len(line.lstrip())
    return "\t" * (spaces // width) + " " * (spaces % width) + line.lstrip()


PRINTED = {
    "a string of Python": repr(TEXT),
    "a string of JSON": json.dumps(TEXT),
    "tuples, a line each": each("({},)", repr),
    "a list of tuples": repr([(line,) for line in LINES]),
    "a tuple of one": repr((TEXT,)),
    "rows of a dictionary cursor": repr([{"QUERY PLAN": line} for line in LINES])
    .replace("{", "RealDictRow({")
    .replace("}", "})"),
    "records": each("<Record QUERY PLAN={}>", repr),
    "a list of Go": "[" + " ".join(map(json.dumps, LINES)) + "]",
    "a dump of PHP": "array:9 [\n" + each('  0 => {{#7\n    +"QUERY PLAN": {}\n  }}', json.dumps) + "\n]",
    "objects of JavaScript": "[\n" + each("  {{ 'QUERY PLAN': {} }},", repr) + "\n]",
    "inserts": each("INSERT INTO t(\"QUERY PLAN\") VALUES ('{}');", lambda line: line.replace("'", "''")),
    "elements": "<data>\n"
    + each("<row>\n<QUERY_PLAN>{}</QUERY_PLAN>\n</row>", xml.sax.saxutils.escape)
    + "\n</data>",
    "cells of a page": TAG.format(each("<tr><td>{}</td></tr>", html.escape).replace(" ", "&nbsp;")),
    "breaks of a page": f"<pre>{each('{}', html.escape)}</pre>".replace("\n", "<br>"),
    "a fence": f"```{TEXT}```",
    "a fence of a language": f"```sql\n{TEXT}\n```",
    "colours": each("\x1b[1m\x1b[36m{}\x1b[0m"),
    "bullets": each("\u2022 {}"),
    "a container's name": each("[pod/db-0/postgres] {}"),
    "numbered rows": "\n".join(f"{place:<3}{line}" for place, line in enumerate(LINES)),
    "tabs of eight": "\n".join(tabbed(line, 8) for line in LINES),
    "tabs of four": "\n".join(tabbed(line, 4) for line in LINES),
    "a record's field": "-[ RECORD 1 ]---\nqueryid | 7\nplan    | "
    + " +\n        | ".join(LINES)
    + "\ncalls | 7",
    "a grid's cell": f'"{doubled(TEXT)}"',
    "a grid's rows": '"QUERY PLAN"\n' + each('"{}"', doubled),
}


@pytest.mark.parametrize("form", PRINTED)
def test_what_programs_print(form: str) -> None:
    reading = scan_plans(PRINTED[form])
    assert [document.body for document in reading.documents] == [BODY], reading.faults


@pytest.mark.parametrize("plan", [JSON, TEXT], ids=["json", "text"])
def test_what_surrounds_any_format(plan: str) -> None:
    tuples = "\n".join(repr((line,)) for line in plan.splitlines())
    for text in (f'"{doubled(plan)}"', f'"QUERY PLAN"\n"{doubled(plan)}"', f"```\n{plan}\n```", tuples):
        assert [document.body for document in read_plans(text)] == [BODY]


STAMP = "2026-11-24 02:00:01.123 UTC [4711] app@db LOG:  "
SAID = f"duration: 36.912 ms  plan:\nQuery Text: select *\nfrom x\n{TEXT.partition(chr(10) + 'Planning')[0]}"
LOGGED = f"{STAMP}{SAID}".replace("\n", "\n\t")
PLANS = {
    "text": SAID,
    "json": "duration: 36.912 ms  plan:\n"
    + json.dumps({"Query Text": "select *\nfrom x", "Plan": BODY["Plan"]}, indent=2),
}


def entries(message: str) -> dict[str, str]:
    """Return a message as collectors of logs pass it on, beside one that holds no plan."""
    tabs = f"{STAMP}{message}".replace("\n", "\n\t")
    table = io.StringIO()
    csv.writer(table).writerows([["@timestamp", "@message"], ["2026", tabs], ["2026", "x"]])
    wrapped = [
        {"level": "info", "msg": "record", "record": {"error_severity": "LOG", "message": said}}
        for said in ("checkpoint", message)
    ]
    return {
        "an operator's records": "\n".join(map(json.dumps, wrapped)),
        "properties": json.dumps({"category": "logs", "properties": {"message": f"{STAMP}{message}"}}),
        "a list of events": json.dumps({"events": [{"message": tabs}, {"message": "x"}]}, indent=1),
        "lines with tabs": "\n".join(
            json.dumps({"line": said, "log": {"offset": 1}}) for said in (tabs, "x")
        ),
        "a table of messages": table.getvalue(),
        "bytes of journald": json.dumps({"MESSAGE": list(tabs.encode())}),
        "journald, inset": "Nov 24 02:00:01 db postgres[4711]: " + tabs.replace("\n", "\n" + " " * 35),
        "syslog in one line": "Nov 24 02:00:01 db postgres[4711]: "
        + tabs.replace("\n", "#012").replace("\t", "#011"),
        "logfmt": f"ts=2026 level=info msg={json.dumps(message)} pid=3\n",
        "a client's notice": f"psql:q.sql:3: LOG:  {message}\n",
    }


@pytest.mark.parametrize("form", entries(""))
@pytest.mark.parametrize("plan", PLANS)
def test_what_collectors_of_logs_make_of_a_plan(plan: str, form: str) -> None:
    reading = scan_plans(entries(PLANS[plan])[form])
    (document,) = reading.documents
    assert document.body["Plan"] == BODY["Plan"]
    assert (document.duration_ms, document.query_text) == (36.912, "select *\nfrom x")
    assert reading.faults == ()


def test_lines_that_were_moved_each_by_itself_give_no_tree() -> None:
    width = max(map(len, LINES))
    for moved in (str.rjust, str.center):
        (fault,) = scan_plans("\n".join(moved(line, width) for line in LINES)).faults
        assert "lost its indentation" in fault


REDSHIFT = """XN Merge  (cost=1000000000000.00..1000000000000.25 rows=100 width=50)
  ->  XN Network  (cost=1000000000000.00..1000000000000.25 rows=100 width=50)
        Send to leader
"""


def test_what_lost_its_lines_or_is_not_postgresqls_gives_no_tree() -> None:
    window = (
        "Unique (actual rows=9 loops=1)\n->  Sort (actual rows=9 loops=1)\n->  Result (actual rows=9 loops=1)"
    )
    for text, said in (
        ("\n".join(" ".join(line.split()) for line in LINES), "lost its indentation"),
        (window, "lost its indentation"),
        (" ".join(LINES), "lost its line breaks"),
        (each("1. \t0.013 \t36.9 \t\u2192 {}").replace("->", ""), "before its lines"),
        (REDSHIFT, "Amazon Redshift"),
    ):
        reading = scan_plans(text)
        assert reading.documents == (), text
        assert said in reading.faults[0]


def test_a_file_of_windows_is_read_and_a_compressed_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.txt"
    file.write_bytes(codecs.BOM_UTF16_LE + TEXT.replace("'a'", "'\u00e4'").encode("utf-16-le"))
    assert "'\u00e4'" in read_text(str(file))
    file.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UsageError, match="is compressed"):
        read_text(str(file))
