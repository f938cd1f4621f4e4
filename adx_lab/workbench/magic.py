"""The cell magic ``%%explain``: a cell of SQL becomes the picture of its plan.

``%load_ext adx_lab`` makes it known. Its line may name a variable that gets the result: ``%%explain result``.
"""

from __future__ import annotations

import sys
from typing import Any

from adx_lab.errors import AdxLabError, UsageError
from adx_lab.workbench.lab import Lab
from adx_lab.workbench.results import Result

_labs: list[Lab] = []


def load_ipython_extension(shell: Any) -> None:
    """Make ``%%explain`` known to an IPython shell."""
    shell.register_magic_function(_explain_in(shell), magic_kind="cell", magic_name="explain")


def _explain_in(shell: Any) -> Any:
    def explain(line: str, cell: str) -> Result | None:
        """Explain the SQL of this cell, and draw its plan with findings and the 10 ms budget."""
        name = line.strip()
        try:
            if name and not name.isidentifier():
                raise UsageError(
                    f"{name} can't be a variable's name", mend="write %%explain, or %%explain NAME"
                )
            result = _lab_of(shell).explain(f"{cell}\n")
        except AdxLabError as error:  # one line, as on the command line: a traceback would bury it
            sys.stderr.write(f"adx-lab: {error}\n")
            return None
        if name:
            shell.user_ns[name] = result
        return result

    return explain


def _lab_of(shell: Any) -> Lab:
    """Return the notebook's own lab where it has one, else one for all such cells."""
    for value in shell.user_ns.values():
        if isinstance(value, Lab):
            return value
    if not _labs:
        _labs.append(Lab())
    return _labs[0]
