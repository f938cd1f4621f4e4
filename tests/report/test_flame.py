"""The flame graph: red grew, blue shrank, two thousand frames, a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from adx_lab.analysis.functions.stacks import Frame, StackProfile
from adx_lab.analysis.functions.tree import call_tree, prune
from adx_lab.report.duet.flame import FRAMES_MAX, FlameGraph, flame_graph
from adx_lab.report.page.assets import copy_script, environment
from adx_lab.report.parts.script import PLOTLY_JS
from tests.analysis.functions.seeded import ROOT, Seeded, service
from tests.conftest import HEADLESS

MAIN, WORK = Frame("main", f"{ROOT}/a.py", 1), Frame("work", f"{ROOT}/a.py", 9)
OLD, NEW = Frame("old", f"{ROOT}/a.py", 20), Frame("<new>", f"{ROOT}/a.py", 30)


def pair() -> tuple[StackProfile, StackProfile]:
    base = StackProfile({(MAIN, WORK): 6, (MAIN, OLD): 4}, 1e4, 10, ROOT)
    head = StackProfile({(MAIN, WORK): 12, (MAIN, NEW): 8}, 2e4, 10, ROOT)
    return base, head


def many() -> FlameGraph:
    rng = np.random.default_rng(5)
    return flame_graph(Seeded(service(rng, 3_000), rng, 400.0, 7, requests=20_000).blocks(2))


def test_the_tree_counts_both_variants_in_microseconds_a_request() -> None:
    tree = call_tree([pair()])
    assert (tree.base_us, tree.head_us) == (1000.0, 2000.0)
    (main,) = tree.calls.values()
    changes = {call.name: call.change_us for call in main.calls.values()}
    assert changes == {"work": 600.0, "old": -400.0, "<new>": 800.0}
    assert main.file == "a.py"


def test_what_grew_is_red_and_what_shrank_is_blue() -> None:
    trace = flame_graph([pair()]).plot.data[0]
    colours = dict(zip(trace.labels, trace.marker.colors, strict=True))
    red, _, blue = (int(colours["work"][i : i + 2], 16) for i in (1, 3, 5))
    assert red > blue
    red, _, blue = (int(colours["old"][i : i + 2], 16) for i in (1, 3, 5))
    assert blue > red
    # Children are never wider than their parent, or plotly draws nothing at all.
    values = dict(zip(trace.ids, trace.values, strict=True))
    for parent in {one for one in trace.parents if one}:
        below = sum(v for v, p in zip(trace.values, trace.parents, strict=True) if p == parent)
        assert below <= values[parent] * (1 + 1e-9)


def test_names_of_functions_are_text_and_no_tags() -> None:
    page = flame_graph([pair()]).html()
    assert "<new>" not in page
    assert "&lt;new&gt;" in page or "\\u0026lt;new" in page


def test_two_thousand_frames_stay_and_the_narrowest_are_put_together() -> None:
    graph = many()
    count = len(graph.plot.data[0].ids)
    assert FRAMES_MAX * 0.5 < count <= FRAMES_MAX * 1.5
    rng = np.random.default_rng(6)
    tree = call_tree(Seeded(service(rng, 300), rng).blocks(2))
    assert prune(tree, 50).head_us == tree.head_us
    assert len(list(prune(tree, 50).walk())) < len(list(tree.walk()))


def test_a_search_marks_what_matches() -> None:
    graph = flame_graph([pair()])
    marked = graph.search("OLD")
    assert list(marked.plot.data[0].marker.colors).count("#f2c037") == 1
    assert "1 frames match" in marked.sentence
    assert "#f2c037" not in graph.plot.data[0].marker.colors


@pytest.mark.browser
def test_a_browser_draws_and_searches_it_without_a_network(chromium: str, tmp_path: Path) -> None:
    copy_script(tmp_path)
    graph = many()
    page = tmp_path / "flame.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><script src="{PLOTLY_JS}"></script>'
        f"<script>{environment().globals['page_js']}</script>{graph.html()}",
        encoding="utf-8",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(HEADLESS))
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_function("document.querySelectorAll('.surface').length > 500")
        opened.fill("input", graph.plot.data[0].labels[5])
        opened.wait_for_function("/^[1-9]\\d* frames?$/.test(document.querySelector('output').textContent)")
        browser.close()
