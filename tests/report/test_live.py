"""The page of what is under way: made anew as something is known, and leading on when it is over."""

from __future__ import annotations

from pathlib import Path

from adx_lab.cli.console import WatchedProgress
from adx_lab.progress import Silent, Watched
from adx_lab.report.page.live import LivePage
from tests.report.test_exports import a_budget, a_comparison


def test_it_shows_what_is_known_so_far(tmp_path: Path) -> None:
    page = LivePage(tmp_path / "reports", "Nightly of <mixed>")
    progress = WatchedProgress(page)
    assert isinstance(progress, Watched)
    assert not isinstance(Silent(), Watched)
    progress.step("load mixed")
    progress.shown("budgets", [a_budget("users", 50, "fail")])
    progress.shown("comparisons", [a_comparison("GET /users", "undecided", 1.2)])
    text = page.file.read_text(encoding="utf-8")
    assert "location.reload()" in text
    assert "Nightly of &lt;mixed&gt;" in text
    assert "load mixed" in text
    assert '<svg class="forest" width="100%"' in text  # letters keep their size on a phone
    assert "GET /users" in text
    assert 'class="bad">fail</td>' in text
    progress.end(tmp_path / "reports" / "r1" / "index.html")
    over = page.file.read_text(encoding="utf-8")
    assert "location.reload()" not in over
    assert 'href="r1/index.html"' in over


def test_comparisons_without_an_interval_draw_nothing(tmp_path: Path) -> None:
    page = LivePage(tmp_path, "Duet")
    page.shown("comparisons", [])
    assert "<svg" not in page.file.read_text(encoding="utf-8")
