"""What every page has: the templates, the style sheet, the small script, and the one copy of plotly.js."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from adx_lab.errors import StoreError
from adx_lab.files import make_private_folder, write_whole
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.parts.script import PLOTLY_JS, SOURCE, page_script
from adx_lab.secrecy import scrub
from adx_lab.settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"


def environment(*, depth: int = 0) -> Environment:
    """Return the templates.

    Parameters
    ----------
    depth
        How many folders below the one copy of plotly.js the page lies.
    """
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        css=(_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        page_js=page_script(),
        plotly_js="../" * depth + PLOTLY_JS,
    )
    return made


def write_sheet(settings: Settings, name: str, title: str, words: str, sections: Sequence[Section]) -> Path:
    """Write a page that lies beside the reports of nights, and return where it is.

    Parameters
    ----------
    name
        Of its file.
    title, words
        What stands on top.

    Raises
    ------
    StoreError
        The file can't be written.
    """
    shown = [section for section in sections if not section.empty]
    text = environment().get_template("sheet.html.j2").render(title=title, words=words, sections=shown)
    file = settings.reports_dir / name
    try:
        copy_script(make_private_folder(settings.reports_dir))
        write_whole(file, scrub(text))
    except OSError as error:
        raise StoreError(f"{file} can't be written: {error.strerror}", mend="free some space") from error
    return file


def copy_script(folder: Path) -> None:
    """Put the one copy of plotly.js beside the folders of all reports, where it is missing or another one."""
    target = folder / PLOTLY_JS
    if target.is_file() and target.stat().st_size == SOURCE.stat().st_size:
        return
    partial = folder / f".{PLOTLY_JS}.{os.getpid()}.partial"
    shutil.copyfile(SOURCE, partial)
    partial.replace(target)
