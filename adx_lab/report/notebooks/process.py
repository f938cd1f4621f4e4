"""The process that executes one notebook: ``python -m adx_lab.report.notebooks.process ORDER.json``.

papermill marks every cell as completed where a cell timed out or the kernel died, and raises three unrelated
errors for three ways to fail; here the status is stamped by ourselves, on the saved notebook and in the
result.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# jsonschema would build a grammar of internationalised addresses: more than a second of CPU a notebook. It
# does without where the module is missing, and no notebook holds such an address.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from adx_lab.errors import UsageError
from adx_lab.report.notebooks.parameters import check_given, parameters_in


def main() -> None:
    """Execute the notebook that the order names and write the result beside it."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    executed = Path(order["executed"])
    status, cell, error = "completed", None, None
    try:
        check_given(order["parameters"], parameters_in(Path(order["notebook"])))
        with tempfile.TemporaryDirectory(prefix="adx-") as sockets:
            papermill.execute_notebook(
                order["notebook"],
                executed,
                parameters=order["parameters"],
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                execution_timeout=order["cell_timeout_s"],
                # Sockets in files: two kernels that start at once can't take each other's port. And in a
                # folder of their own: by default two kernels take each other's file.
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}}),
            )
    except UsageError as failure:
        status, error = "failed", f"UsageError: {failure}"
        shutil.copyfile(order["notebook"], executed)
    except PapermillExecutionError as failure:
        status, error = "failed", f"{failure.ename}: {failure.evalue}"
    except CellTimeoutError:
        status, error = "timed out", f"a cell took longer than {order['cell_timeout_s']} s"
    except DeadKernelError:
        status, error = "kernel died", "the kernel died; it may have run out of memory"
    _without_paths(executed)
    if status != "completed":
        cell = _stamp(executed, status, str(error))
    result = {
        "status": status,
        "cell": cell,
        "error": error and " ".join(error.split())[:300],
        "body": _as_html(executed),
    }
    Path(order["result"]).write_text(json.dumps(result), encoding="utf-8")


def _without_paths(executed: Path) -> None:
    """Take out of a notebook where it lay on this machine: it may be published."""
    notebook = nbformat.read(executed, as_version=4)
    told = notebook.metadata.get("papermill", {})
    for name in ("input_path", "output_path"):
        if told.get(name):
            told[name] = Path(told[name]).name
    nbformat.write(notebook, executed)


def _as_html(executed: Path) -> str:
    # "basic" has no page around it, and so none of the scripts that the lab template takes from the network.
    # Here and not where the page is written: importing nbconvert takes seconds, and no verb should wait.
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body: str = exporter.from_filename(str(executed))[0]
    return body


def _stamp(executed: Path, status: str, error: str) -> int | None:
    notebook = nbformat.read(executed, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number = _failed_cell(code)
    notebook.metadata["adx_lab"] = {"status": status, "error": error, "cell": number}
    for later, cell in enumerate(code, start=1):
        papermill_facts = cell.metadata.get("papermill", {})
        if number is not None and later >= number:
            papermill_facts["status"] = status if later == number else "pending"
    nbformat.write(notebook, executed)
    return number


def _failed_cell(code: list[Any]) -> int | None:
    """Return the number of the cell that was running: the last that papermill saw begin."""
    begun = [
        number
        for number, cell in enumerate(code, start=1)
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return begun[-1] if begun else None


if __name__ == "__main__":
    main()
