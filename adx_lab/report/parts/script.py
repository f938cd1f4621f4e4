"""What draws charts and sorts tables in a browser: plotly.js, and the small script that calls it.

A report's page links the one copy of plotly.js. A page of one file has it packed, and so has a notebook that
neither JupyterLab nor a report draws: whoever turns what papermill executed into a page sees its charts.
"""

from __future__ import annotations

import base64
import gzip
import os
from functools import cache
from pathlib import Path

import plotly

PLOTLY_JS = "plotly.min.js"
SOURCE = Path(plotly.__file__).parent / "package_data" / PLOTLY_JS
"""plotly.js as the package brings it."""

DRAWN_BY_A_PAGE = "ADX_DRAWN_BY_A_PAGE"
"""In a kernel's environment: its notebook becomes a page of a report, which has the script."""

_JUPYTER_SERVER = "JPY_SESSION_NAME"
"""In the environment of a kernel that a Jupyter server started: JupyterLab has a plotly.js of its own."""

_PACKED = '<script type="text/plain" id="adx-packed">{}</script>'
_UNPACK = """(async () => {
  const text = document.getElementById("adx-packed").textContent;
  const packed = await fetch("data:application/gzip;base64," + text);
  const stream = packed.body.pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.text = await new Response(stream).text();
  document.head.append(script);
  window.dispatchEvent(new Event("adx-plotly"));
})();"""

# JupyterLab shows a notebook long after its document was read: there the event never comes, and its own
# plotly.js draws. Elsewhere each figure has its sentence, and the caption beside it would repeat it.
_IN_A_NOTEBOOK = """
<style>figure.adx-figure{{margin:0 0 12px}} .adx-figure .tools{{display:flex;gap:8px;margin-top:6px}}
.adx-table .sort{{all:unset;cursor:pointer}} .adx-table input{{margin:0 0 8px}}
.adx-table input,.adx-figure :is(select,button){{font:inherit;color:inherit;background:transparent;
padding:2px 8px;border:1px solid;border-radius:6px}}
.adx-figure option{{color:#20262e;background:#fff}}</style>
{packed}
<script>document.addEventListener("DOMContentLoaded", () => {{
document.querySelectorAll(".adx-caption").forEach((caption) => caption.remove());
{unpack}
{page}
}});</script>
"""


def page_script() -> str:
    """Return the script that draws the charts of a page, and makes its tables sortable."""
    return (Path(__file__).parent / "page.js").read_text(encoding="utf-8")


def packed_script() -> str:
    """Return plotly.js within a page: packed, a third of its size, and unpacked by the browser."""
    return f"{_packed()}<script>{_UNPACK}</script>"


@cache
def show_script() -> None:
    """Show once in a kernel what draws its charts, where nobody else will."""
    from IPython.display import display  # noqa: PLC0415  # only a notebook calls this

    if not {DRAWN_BY_A_PAGE, _JUPYTER_SERVER} & os.environ.keys():
        script = _IN_A_NOTEBOOK.format(packed=_packed(), unpack=_UNPACK, page=page_script())
        display({"text/html": script}, raw=True)


def _packed() -> str:
    return _PACKED.format(base64.b64encode(gzip.compress(SOURCE.read_bytes(), mtime=0)).decode("ascii"))
