"""The page of a night or a duet that is under way: a file that reloads itself as something is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.files import make_private_folder, write_whole
from adx_lab.report.duet.comparison_tables import comparisons, telling
from adx_lab.report.page.assets import environment
from adx_lab.report.parts.words import subject_words
from adx_lab.report.run.tables import budgets
from adx_lab.secrecy import scrub

LIVE = "live.html"
_EVERY_S = 1.0
_STEPS, _ROWS_MAX = 12, 20
_ROW_PX = 40
"""A name, and its interval below it: a phone has no room for both beside each other."""


@dataclass
class LivePage:
    """What is known so far, and the file that shows it."""

    reports_dir: Path
    title: str
    _steps: list[str] = field(default_factory=list)
    _advance: tuple[str, float] | None = None
    _shown: dict[str, Sequence[Any]] = field(default_factory=dict)
    _written_s: float = 0.0

    @property
    def file(self) -> Path:
        """Where the page is."""
        return self.reports_dir / LIVE

    def step(self, text: str) -> None:
        """Add a step."""
        self._steps.append(text)
        self._advance = None
        self._write()

    def advance(self, text: str, share: float) -> None:
        """Say how far the step is."""
        self._advance = (text, share)
        if time.monotonic() - self._written_s >= _EVERY_S:
            self._write()

    def shown(self, what: str, found: Sequence[Any]) -> None:
        """Show what is known of the comparisons, or of the budgets."""
        self._shown[what] = found
        self._write()

    def end(self, page: Path | None) -> None:
        """Lead to the page that stays, and reload no more."""
        self._write(over=True, page=page)

    def _write(self, *, over: bool = False, page: Path | None = None) -> None:
        self._written_s = time.monotonic()
        known = self._shown.get("comparisons", ())
        found = (telling(known) or [one for one in known if one.gate])[:_ROWS_MAX]
        text = (
            environment()
            .get_template("live.html.j2")
            .render(
                title=self.title,
                steps=self._steps[-_STEPS:],
                advance=self._advance,
                over=over,
                page=None if page is None else page.relative_to(self.reports_dir),
                forest=forest_svg(found) if found else "",
                comparisons=comparisons(found) if found else None,
                budgets=budgets(self._shown["budgets"]) if self._shown.get("budgets") else None,
            )
        )
        make_private_folder(self.reports_dir)
        write_whole(self.file, scrub(text))


def forest_svg(found: Sequence[Comparison]) -> str:
    """Draw each interval as a line and each estimate as a dot; no script: the page reloads all the time."""
    known = [one for one in found if one.ratio is not None and one.low is not None and one.high is not None]
    if not known:
        return ""
    reach = min(2.0, max(0.1, *(abs(end - 1) for one in known for end in (one.low or 1, one.high or 1))))

    def place(ratio: float) -> str:
        return f"{100 * (min(max(ratio - 1, -reach), reach) + reach) / (2 * reach):.1f}%"

    rows = []
    for row, one in enumerate(known):
        y = row * _ROW_PX + 30
        name = subject_words(one.subject).replace("&", "&amp;").replace("<", "&lt;")
        rows.append(
            f'<text x="0" y="{y - 12}">{name}</text>'
            f'<line x1="{place(one.low or 1)}" x2="{place(one.high or 1)}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{place(one.ratio or 1)}" cy="{y}" r="5"/>'
        )
    height = len(known) * _ROW_PX + 12
    return (
        f'<svg class="forest" width="100%" height="{height}" role="img" aria-label="head over base">'
        f'<line class="zero" x1="{place(1)}" x2="{place(1)}" y1="0" y2="{height}"/>'
        f"{''.join(rows)}</svg>"
        f'<p class="dim">Head over base, from −{reach:.0%} to +{reach:.0%}; the line is no difference. '
        "Nothing is decided before the last block.</p>"
    )
