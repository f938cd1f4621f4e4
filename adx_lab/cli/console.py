"""What a person sees while a verb works: progress and errors on stderr, results on stdout."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from adx_lab.errors import on_a_terminal
from adx_lab.secrecy import scrub

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from adx_lab.report.page.live import LivePage
    from adx_lab.report.parts.table import Table
    from adx_lab.settings import Settings

LOCUST_WORD = "--locust-word"
"""The option that a word behind ``--`` becomes, for verbs that hand it to Locust."""

_PLAIN_EVERY_S = 10.0
_BAR_CELLS = 24
_FILE_WIDTH = 220


class ConsoleProgress:
    """Steps as lines on stderr; advances as a bar on a terminal and as a line now and then elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._last_plain_s = -_PLAIN_EVERY_S
        self._bar_open = False

    def step(self, text: str) -> None:
        """Print what begins now, with the time since the verb began."""
        self._close_bar()
        self._last_plain_s = self._elapsed_s()
        print(f"[{self._elapsed_s():6.1f} s] {scrub(text)}", file=sys.stderr, flush=True)

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Draw how far the current step is."""
        share = min(done / total, 1.0) if total > 0 else 1.0
        text = f"{label} {done:,.0f}/{total:,.0f} {unit} {share:4.0%}"
        if self._terminal:
            filled = round(share * _BAR_CELLS)
            bar = "█" * filled + "·" * (_BAR_CELLS - filled)
            print(f"\r           {bar} {text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._bar_open = True
        elif self._elapsed_s() - self._last_plain_s >= _PLAIN_EVERY_S:
            self._last_plain_s = self._elapsed_s()
            print(f"[{self._elapsed_s():6.1f} s]   {text}", file=sys.stderr, flush=True)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _close_bar(self) -> None:
        if self._bar_open:
            print(file=sys.stderr)
            self._bar_open = False


class WatchedProgress(ConsoleProgress):
    """The same, and a page that reloads itself while a night or a duet is under way."""

    def __init__(self, page: LivePage) -> None:
        super().__init__()
        self._page = page
        page.step("starting")
        self.step(f"watch it at {page.file.as_uri()}")

    def step(self, text: str) -> None:
        """Print what begins now, and show it on the page."""
        super().step(text)
        self._page.step(text)

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Draw how far the current step is, here and on the page."""
        super().advance(label, done, total, unit)
        share = min(done / total, 1.0) if total > 0 else 1.0
        self._page.advance(f"{label} {done:,.0f}/{total:,.0f} {unit}", share)

    def shown(self, what: str, found: Sequence[Any]) -> None:
        """Show what is known so far on the page."""
        self._page.shown(what, found)

    def end(self, page: Path | None) -> None:
        """Lead to the page that stays."""
        self._page.end(page)


def watching(settings: Settings, title: str, *, page: bool) -> ConsoleProgress:
    """Return where progress is told: on the terminal, and on a page where one is asked for."""
    if not page:
        return ConsoleProgress()
    from adx_lab.report.page.live import LivePage

    return WatchedProgress(LivePage(settings.reports_dir, title))


def say_error(text: str) -> None:
    """Print the one line that says what is wrong; a name in it can't move the cursor or break the line."""
    line = on_a_terminal(scrub(text)).replace("\n", " ")
    print(f"adx-lab: {line}", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON document and nothing else."""
    from adx_lab.records.documents import to_json  # only what prints JSON waits for it

    print(to_json(value, indent=2))


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        print(on_a_terminal(f"{name:<{width}}  {value}"))


def print_table(table: Table) -> None:
    """Print a table: within the terminal's width, and whole where it is piped."""
    from adx_lab.report.parts.table_text import table_text  # errors need no table

    print(table_text(table, width=_width(), colour=_coloured()))


def print_status(name: str, status: str, more: str = "") -> None:
    """Print a name and a status in its colour."""
    from adx_lab.report.parts.table_text import inked

    print(f"{name:<8} {inked(status) if _coloured() else status}{more}")


def print_next(text: str) -> None:
    """Print what to do now, as the last line."""
    print(f"next: {text}")


def _width() -> int | None:
    """Return the width of whoever looks; COLUMNS gives it where no terminal does."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return shutil.get_terminal_size().columns


def _coloured() -> bool:
    """Tell whether colours are wanted: on a terminal, unless NO_COLOR says otherwise."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def print_rich(shown: RenderableType) -> None:
    """Print what `rich` draws, as wide as it needs where nobody looks at a terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, soft_wrap=True).print(shown)
