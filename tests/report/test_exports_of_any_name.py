"""Whatever a name holds, the exports are valid and do nothing: JUnit XML, CSV, Markdown, JSON."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.files import write_whole
from adx_lab.records.documents import to_json
from adx_lab.report.page.exports import junit, markdown
from adx_lab.report.parts.table import Column, Table
from tests.report.test_exports import a_budget, a_comparison

NAMES = st.text(st.characters(exclude_categories=()), max_size=40) | st.text(
    st.sampled_from("=+-@|`*_[]()<>&\\'\"#!~\t\r\n\x00\x0b\x1b\x7f\u2028\ud800\ufffe ab"), max_size=20
)
EVIL = "a\x00\x1b[31m\ud800</testcase>|`<script>=cmd|' /C calc'!A0\n## h\n@everyone [x](javascript:1)"


def verdict_with(name: str) -> Verdict:
    return decide(
        run_id="20261124T015142-3f9a1c",
        budgets=(a_budget(name, 50, "fail"), a_budget(name, 30, "undecided"), a_budget(name, 20, "pass")),
        comparisons=(a_comparison(name, "slower", 1.2),),
        findings=(Finding(name, name, name, {"x": name}),),
        validity=(ValidityCheck(name, 1.0, 0.0, ok=False),),
    )


@given(NAMES)
@example(EVIL)
def test_junit_is_well_formed_and_of_its_schema(name: str) -> None:
    suites = ET.fromstring(junit(verdict_with(name)).encode().split(b"\n", 1)[1])
    assert (suites.tag, set(suites.keys())) == ("testsuites", {"name"})
    for suite in suites:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "skipped"} == set(suite.keys())
        assert int(suite.get("tests", "")) == len(suite)
        for case in suite:
            assert (case.tag, set(case.keys())) == ("testcase", {"classname", "name"})
            assert [(out.tag in {"failure", "error", "skipped"}, len(out)) for out in case] in (
                [],
                [(True, 0)],
            )
    assert [len(suite) for suite in suites] == [3, 1, 1]


@given(st.lists(NAMES, min_size=1, max_size=4))
@example([EVIL, "=1+1", " =1", "+1", "-1", "@x", "\t=1", "＝1"])
def test_no_cell_of_a_csv_is_a_formula(names: list[str]) -> None:
    table = Table((Column("endpoint"), Column("n", kind="number")), tuple((name, -1.5) for name in names))
    text = table.csv().encode("utf-8").decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["endpoint", "n"]
    assert len([row for row in rows if row]) == len(names)
    for cell, figure in rows:
        assert cell.strip(" ")[:1] not in set("=+-@\t\r\n＝＋－＠") or not cell.strip(" ")
        assert float(figure) == -1.5


@given(NAMES)
@example(EVIL)
@example("{value:")
def test_markdown_shows_a_name_and_does_nothing(name: str) -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown(verdict_with(name)))
    assert html.count("<table>") == 2
    assert html.count("<tr>") == 2 + 3  # headers; two budgets that are not kept, one comparison
    for mark in ("<script", "<a ", "<img", "<h1", "<h3", "<em>", "<del>", "<hr"):
        assert mark not in html


@given(NAMES)
@example(EVIL)
def test_json_is_read_back_as_it_was(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "verdict.json")
        write_whole(file, to_json(verdict_with(name).to_json()))
        assert json.loads(file.read_text(encoding="utf-8"))["findings"][0]["cause"] == name
