"""The page of two stored runs side by side; it is no verdict."""

from __future__ import annotations

from pathlib import Path

from adx_lab.analysis.nights.usual import UsualAnswer
from adx_lab.report.duet.comparison_tables import comparisons, findings, telling
from adx_lab.report.page.assets import write_sheet
from adx_lab.report.page.blocks.block import Folded, Section
from adx_lab.settings import Settings

_WORDS = "The two were not measured side by side: what differs may be the machine, the data or the hour."


def write_compared(settings: Settings, base: str, head: str, answer: UsualAnswer) -> Path:
    """Write the page, and return where it is.

    Parameters
    ----------
    base, head
        The runs' whole ids.

    Raises
    ------
    StoreError
        It can't be written.
    """
    told = telling(answer.comparisons) or list(answer.comparisons)
    rest = [one for one in answer.comparisons if one not in told]
    more = (Folded(f"{len(rest)} more", (comparisons(rest),)),) if rest else ()
    sections = [
        Section("findings", "What was found", (findings(answer.findings),)),
        Section("comparisons", "What differs", (comparisons(told), *more)),
    ]
    title = f"{head} against {base}"
    return write_sheet(settings, f"{base}-{head}.html", title, _WORDS, sections)
