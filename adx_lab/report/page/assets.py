"""What every page has: the templates, the style sheet, the small script, and the one copy of plotly.js."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
from pathlib import Path

import plotly
from jinja2 import Environment, FileSystemLoader, select_autoescape

from adx_lab.report.parts.figure import PLOTLY_JS

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = Path(plotly.__file__).parent / "package_data" / PLOTLY_JS

_UNPACK = """
<script type="text/plain" id="packed">{packed}</script>
<script>(async () => {{
  const packed = await fetch("data:application/gzip;base64," + document.getElementById("packed").textContent);
  const stream = packed.body.pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.text = await new Response(stream).text();
  document.head.append(script);
  window.dispatchEvent(new Event("adx-plotly"));
}})();</script>
"""


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
        page_js=(_TEMPLATES / "page.js").read_text(encoding="utf-8"),
        plotly_js="../" * depth + PLOTLY_JS,
    )
    return made


def copy_script(folder: Path) -> None:
    """Put the one copy of plotly.js beside the folders of all reports, where it is missing or another one."""
    target = folder / PLOTLY_JS
    if target.is_file() and target.stat().st_size == _SCRIPT.stat().st_size:
        return
    partial = folder / f".{PLOTLY_JS}.{os.getpid()}.partial"
    shutil.copyfile(_SCRIPT, partial)
    partial.replace(target)


def packed_script() -> str:
    """Return plotly.js within a page: packed, a third of its size, and unpacked by the browser."""
    packed = gzip.compress(_SCRIPT.read_bytes(), mtime=0)
    return _UNPACK.format(packed=base64.b64encode(packed).decode("ascii"))
