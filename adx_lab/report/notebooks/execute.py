"""Execute notebooks and make pages of them.

Each runs in a process of its own (`adx_lab.report.notebooks.process`), so that a kernel that hangs or dies
takes nothing with it, and Ctrl-C reaches all of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adx_lab.errors import StackError
from adx_lab.processes import start_child, stop_child
from adx_lab.records.run import to_json

NotebookStatus = Literal["completed", "failed", "timed out", "kernel died"]


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
        | {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "IPYTHONDIR": str(log.parent / "ipython")}
        | ({} if home is None else {"ADX_LAB_HOME": str(home)}),
        cwd=notebook.parent,
    )
    try:
        await asyncio.to_thread(child.process.wait)
    finally:
        await stop_child(child, grace_s=5)
    if not result.is_file():
        status = child.process.returncode
        raise StackError(f"the process that runs {notebook.name} died with status {status}", log=log)
    told = json.loads(result.read_text(encoding="utf-8"))
    order.unlink()
    result.unlink()
    return NotebookOutcome(notebook.stem, told["status"], told["cell"], told["error"], executed, told["body"])
