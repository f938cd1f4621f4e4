"""Plans on a terminal and as pictures."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import sync_playwright
from rich.console import Console

from adx_lab.analysis.plans import PlanAnalysis, PlanDocument, analyse
from adx_lab.analysis.plans.captures.causes import Cause
from adx_lab.analysis.plans.captures.compare import compare_matrices
from adx_lab.analysis.plans.captures.matrix import read_matrix
from adx_lab.report.plans.svg import plan_figure
from adx_lab.report.plans.tables import notable_table
from adx_lab.report.plans.terminal import plan_text, print_plans
from adx_lab.report.plans.terminal_matrix import changes_text, matrix_text

if TYPE_CHECKING:
    from pathlib import Path


def chain(nodes: int, *, name: str = "users", execution: float = 9.0) -> PlanAnalysis:
    """A chain of joins: ``nodes`` of them, the leaves scanning a table each."""
    tree: dict[str, Any] = scan(name, 0)
    for i in range((nodes - 1) // 2):
        figures = {"Plan Rows": 10, "Actual Rows": 12, "Actual Loops": 1, "Actual Total Time": 0.2 * (i + 2)}
        pages = {"Shared Hit Blocks": 4 * (i + 2), "Shared Read Blocks": 0}
        inner = scan(name, i + 1) | {"Parent Relationship": "Inner"}
        tree = {"Node Type": "Nested Loop", "Join Type": "Inner", "Plans": [tree, inner], **figures, **pages}
        tree["Parent Relationship"] = "Outer"
    return analyse(PlanDocument({"Plan": tree, "Execution Time": execution}))


def scan(name: str, number: int) -> dict[str, Any]:
    return {
        "Node Type": "Index Scan",
        "Parent Relationship": "Outer",
        "Relation Name": name,
        "Index Name": f"{name}_a_rather_long_name_of_an_index_{number}",
        "Index Cond": "(tenant_id = '00000000-0000-4000-8000-000000000000'::uuid)",
        "Plan Rows": 10,
        "Actual Rows": 12,
        "Actual Loops": 1,
        "Actual Total Time": 0.1,
        "Shared Hit Blocks": 4,
        "Shared Read Blocks": 0,
    }


def printed(analysis: PlanAnalysis, width: int = 100) -> str:
    output = io.StringIO()
    Console(width=width, color_system=None, file=output).print(plan_text(analysis))
    return output.getvalue()


def test_the_terminal_shows_every_node_and_the_certificate() -> None:
    text = printed(chain(21))
    assert text.count("Nested Loop") == 10
    assert "certificate: nodes" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_hostile_plan_prints_no_control_characters_and_no_markup() -> None:
    text = printed(chain(1, name="[red]x\x1b[31m\n<script>alert(1)</script>"))
    assert "\x1b" not in text
    assert "[red]x" in text


def test_printing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_plans([chain(3), chain(3)])
    assert capsys.readouterr().out.count("certificate") == 2


def test_the_picture_is_whole_well_formed_and_alone() -> None:
    figure = plan_figure(chain(41), chain(21, name="files"), title="users.list for <the> whale").markup
    svg = re.search(r"<svg.*</svg>", figure, re.DOTALL)
    assert svg is not None
    root = ET.fromstring(svg.group())
    groups = [item for item in root.iter() if item.tag.endswith("}g")]
    assert len(groups) == 41 + 21
    assert not re.search(r"(?:src|href)=|url\(|<script", figure)
    assert "prefers-color-scheme:dark" in figure


def test_the_picture_escapes_and_marks_what_is_new() -> None:
    hostile = chain(3, name="</title></svg><script>alert(1)</script>")
    figure = plan_figure(hostile, chain(3)).markup
    assert "<script>alert" not in figure
    assert figure.count('class="n"') == 4  # two scans here, two there
    assert plan_figure(chain(3), chain(3)).markup.count('class="n"') == 0
    assert plan_figure(chain(3)).markup == plan_figure(chain(3))._repr_html_()


def test_a_plan_of_thousands_of_nodes_is_cut_with_a_word() -> None:
    assert "more nodes" in plan_figure(chain(1001)).markup


@pytest.mark.browser
def test_no_words_overlap_in_the_browser(chromium: str, tmp_path: Path) -> None:
    page_file = tmp_path / "plan.markup"
    page_file.write_text(
        "<meta charset=utf-8>" + plan_figure(chain(41), chain(31), title="users.list").markup,
        encoding="utf-8",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1480, "height": 900})
        page.goto(page_file.as_uri())
        boxes = page.evaluate(
            "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect())"
            ".map(b => [b.left, b.top, b.right, b.bottom])"
        )
        browser.close()
    boxes.sort(key=lambda box: box[1])
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            if other[1] >= bottom - 3:
                break
            apart = other[0] >= right - 1 or left >= other[2] - 1 or other[1] >= bottom - 4
            assert apart, ((left, top, right, bottom), other)


def test_the_matrix_and_its_changes_as_text() -> None:
    def item(pages: int, mode: str, index: str) -> dict[str, Any]:
        node = scan("users", 0) | {"Shared Hit Blocks": pages, "Total Cost": 8.0, "Index Name": index}
        plan = {"Plan": node, "Execution Time": 2.0}
        return {"query": "users.get", "tenant": "whale", "mode": mode, "arguments": {}, "plan": plan}

    base = read_matrix([item(7, "custom", "a"), item(900, "generic", "b")])
    head = read_matrix([item(800, "custom", "c")])
    cause = Cause("index", "a", "the index a is gone")
    output = io.StringIO()
    console = Console(width=120, color_system=None, file=output)
    console.print(matrix_text(base))
    console.print(changes_text(compare_matrices(base, head), [cause]))
    console.print(changes_text(()))
    text = output.getvalue()
    assert "7 p 2 ms ⇄ 900 p 2 ms" in text
    assert "flip: users.get: 7 -> 900 pages" in text
    assert "7 -> 800 pages for the whale tenant" in text
    assert "cause: the index a is gone" in text
    assert "no plan changed" in text


def scanned(kind: str, pages: int, cost: float, relation: str = "users") -> dict[str, Any]:
    node = {"Node Type": kind, "Relation Name": relation, "Plan Rows": 1, "Total Cost": cost}
    node |= {"Actual Loops": 1, "Actual Rows": 1, "Actual Total Time": 0.5, "Shared Hit Blocks": pages}
    return {"Plan": node | {"Shared Read Blocks": 0, "Filter": "(a = '\u202eabc')"}, "Execution Time": 0.6}


@pytest.mark.parametrize("pages", [12, 15, 16, 40, 9000])
def test_what_is_notable_is_the_same_wherever_it_is_shown(pages: int) -> None:
    cell = {"query": "users.get", "tenant": "whale"}
    matrix = read_matrix(
        [
            {**cell, "mode": "custom", "plan": scanned("Index Scan", 4, 50.0)},
            {**cell, "mode": "generic", "plan": scanned("Seq Scan", pages, 8.0)},
        ]
    )
    output = io.StringIO()
    Console(width=200, color_system=None, file=output).print(matrix_text(matrix))
    in_table = any("flip" in row for row in notable_table(matrix).texts)
    assert in_table == ("flip:" in output.getvalue()) == (pages - 4 >= 10)


def test_nothing_turns_the_direction_of_writing(capsys: pytest.CaptureFixture[str]) -> None:
    analysis = analyse(PlanDocument(scanned("Seq Scan", 4, 1.0, "users\u202egnp.exe")))
    print_plans([analysis])
    assert "\u202e" not in plan_figure(analysis).html() + capsys.readouterr().out


def test_every_nodes_text_can_be_opened_and_the_cheap_hidden() -> None:
    markup = plan_figure(analyse(PlanDocument(scanned("Seq Scan", 4, 1.0)))).html()
    assert "<details" in markup
    assert "only the costly path" in markup


def test_two_plans_in_one_picture_show_what_moved() -> None:
    """A node that stands below another one now is joined to where it was; a new one is marked."""
    leaf, other = scan("users", 1), scan("files", 2)
    figures = {"Plan Rows": 10, "Actual Rows": 12, "Actual Loops": 1, "Actual Total Time": 0.4}
    join = {"Node Type": "Nested Loop", "Join Type": "Inner", "Plans": [leaf, other], **figures}
    sort = {"Node Type": "Sort", "Sort Key": ["id"], **figures}
    base = analyse(PlanDocument({"Plan": join, "Execution Time": 0.5}))
    now = analyse(
        PlanDocument({"Plan": join | {"Plans": [other, sort | {"Plans": [leaf]}]}, "Execution Time": 0.5})
    )
    picture = plan_figure(now, base).html()
    assert "Sort was added" in picture
    assert picture.count('class="n"') == 1
    (gone,) = re.findall(r'<path class="v g" d="[^"]+"><title>([^<]+)', picture)
    assert "users" in gone
    (swapped,) = re.findall(r'<path class="v" d="[^"]+"><title>([^<]+)', picture)
    assert "files" in swapped
    same = plan_figure(base, base).html()
    assert 'class="v' not in same
    assert 'class="n"' not in same
