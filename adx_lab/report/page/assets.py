"""What every page has: the templates, the style sheet, and the one copy of plotly.js beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import plotly
from jinja2 import Environment, FileSystemLoader, select_autoescape

from adx_lab.report.parts.figure import PLOTLY_JS

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Return the templates, with the style sheet and the name of the one script."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(["j2"]), trim_blocks=True
    )
    made.globals.update(
        css=(_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        plotly_js=PLOTLY_JS,
    )
    return made


def copy_script(folder: Path) -> None:
    """Put the one copy of plotly.js into a folder of pages."""
    script = Path(plotly.__file__).parent / "package_data" / PLOTLY_JS
    shutil.copyfile(script, folder / PLOTLY_JS)
