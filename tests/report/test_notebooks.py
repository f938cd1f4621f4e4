"""papermill's traps, on real kernels."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from adx_lab.report.notebooks.execute import execute_notebook


def write(path: Path, *cells: str) -> Path:
    notebook = new_notebook(
        cells=[new_code_cell(source, id=f"c{number}") for number, source in enumerate(cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(
    ("cells", "status", "cell", "error"),
    [
        (("answer = 0", "assert answer == 42"), "completed", None, None),
        (("answer = 0", "1 + 1", "raise ValueError('no\\nway')", "2 + 2"), "failed", 4, "ValueError: no way"),
        (("answer = 0", "import time", "time.sleep(60)", "3"), "timed out", 4, "longer than 3 s"),
        (("answer = 0", "import os", "os.kill(os.getpid(), 9)", "3"), "kernel died", 4, "the kernel died"),
    ],
)
async def test_what_became_of_it_is_told(
    tmp_path: Path, cells: tuple[str, ...], status: str, cell: int | None, error: str | None
) -> None:
    source = write(tmp_path / "source.ipynb", *cells)
    executed = tmp_path / "executed.ipynb"
    outcome = await execute_notebook(
        source, executed, {"answer": 42}, cell_timeout_s=3, log=tmp_path / "notebook.log"
    )
    assert (outcome.status, outcome.cell) == (status, cell)
    assert error is None or error in str(outcome.error)
    saved = nbformat.read(executed, as_version=4)
    if status == "completed":
        assert "adx_lab" not in saved.metadata
    else:
        assert saved.metadata["adx_lab"]["status"] == status
        assert saved.cells[-1].metadata["papermill"]["status"] == "pending"
