"""Execute notebooks and make pages of them.

Each runs in a process of its own (`adx_lab.report.notebooks.process`), so that a kernel that hangs or dies
takes nothing with it, and Ctrl-C reaches all of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adx_lab.deaths import in_words
from adx_lab.files import make_private_folder
from adx_lab.processes import Child, start_child, stop_child
from adx_lab.records.documents import to_json
from adx_lab.report.parts.script import DRAWN_BY_A_PAGE

NotebookStatus = Literal["completed", "failed", "timed out", "kernel died", "process died"]


@dataclass(frozen=True, slots=True)
class NotebookOutcome:
    """What became of one notebook.

    Attributes
    ----------
    cell
        The number (from 1) of the code cell that failed, or None.
    error
        One line, or None.
    body
        The executed notebook as HTML, without a page around it.
    """

    name: str
    status: NotebookStatus
    cell: int | None
    error: str | None
    executed: Path
    body: str

    @property
    def ok(self) -> bool:
        """Whether every cell ran."""
        return self.status == "completed"


async def execute_notebook(
    notebook: Path,
    executed: Path,
    parameters: Mapping[str, Any],
    *,
    cell_timeout_s: int,
    log: Path,
    home: Path | None = None,
) -> NotebookOutcome:
    """Execute a notebook with parameters and save it as ``executed``; failing is an outcome.

    Its kernel finds the home folder in its environment: a path of this machine is nobody else's business.
    """
    order = executed.with_suffix(".order.json")
    result = executed.with_suffix(".result.json")
    order.write_text(
        to_json(
            {
                "notebook": notebook,
                "executed": executed,
                "parameters": parameters,
                "cell_timeout_s": cell_timeout_s,
                "result": result,
            }
        ),
        encoding="utf-8",
    )
    child = start_child(
        f"notebook {notebook.stem}",
        [sys.executable, "-m", "adx_lab.report.notebooks.process", order],
        log=log,
        # The kernel must find this very package, and must not open a debugger's port for each notebook.
        environ=os.environ
        | {
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "IPYTHONDIR": str(_ipython_folder(log.parent)),
            DRAWN_BY_A_PAGE: "yes",
        }
        | ({} if home is None else {"ADX_LAB_HOME": str(home)}),
        cwd=notebook.parent,
    )
    try:
        await asyncio.to_thread(child.process.wait)
    finally:
        await stop_child(child, grace_s=5)
    if not result.is_file():
        order.unlink()
        return _died(notebook, executed, child)
    told = json.loads(result.read_text(encoding="utf-8"))
    order.unlink()
    result.unlink()
    return NotebookOutcome(notebook.stem, told["status"], told["cell"], told["error"], executed, told["body"])


def _ipython_folder(logs: Path) -> Path:
    """Return where IPython keeps what it likes; what it would copy there for everybody to read is there."""
    folder = logs / "ipython"
    startup = make_private_folder(folder / "profile_default" / "startup")
    (startup / "README").touch(mode=0o600)
    return folder


def _died(notebook: Path, executed: Path, child: Child) -> NotebookOutcome:
    """Return what is left where the process itself died, for lack of memory perhaps: the night goes on."""
    if not executed.is_file():
        shutil.copyfile(notebook, executed)
    how = in_words(child.process.returncode)
    # The log lies in the report's folder, which has not got its name yet.
    error = f"the process that executes it {how}, for lack of memory perhaps; see {child.log.name} beside it"
    return NotebookOutcome(notebook.stem, "process died", None, error, executed, "")
