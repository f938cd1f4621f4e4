"""A notebook's parameters: its parameters cell says which there are, and whoever gives others is told so.

papermill injects a cell of its own after that one and goes on where a name is unknown: a misspelt one would
be a report of something else.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from adx_lab.errors import UsageError, nearest

INJECTED = "# Parameters\n"
"""How the cell begins that papermill adds."""

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}


def check_given(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse parameters that a notebook does not have, or has with another type.

    Parameters
    ----------
    given
        Values by name.
    known
        Defaults by name.

    Raises
    ------
    UsageError
        It names the first one, and what is known.
    """
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"the notebook has no parameter {name}", mend=nearest(name, list(known)))
        check_type(name, value, type(known[name]))


def check_type(name: str, value: Any, kind: type) -> None:
    """Refuse a value of the wrong type; a whole number may stand for any number.

    Raises
    ------
    UsageError
        It is of another type.
    """
    if type(value) is kind or (kind is float and type(value) is int):
        return
    words = _WORDS.get(kind, kind.__name__)
    raise UsageError(f"the parameter {name} is {value!r}, not {words}", mend="correct the parameters cell")


def parameters_in(notebook: Path) -> dict[str, Any]:
    """Return the defaults of a notebook's parameters by name.

    Raises
    ------
    UsageError
        The file is no notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [
            "".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", ())
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{notebook} is no notebook: {error!r}", mend="restore it") from error
    return assigned(tagged[0]) if tagged else {}


def assigned(source: str) -> dict[str, Any]:
    """Return the literals that a cell assigns, by name."""
    found: dict[str, Any] = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = ast.literal_eval(line.value)
            except ValueError:  # papermill writes NaN as a call: no parameter is one
                found[line.targets[0].id] = None
    return found


def check_injected(cells: Sequence[str] | None = None) -> None:
    """Refuse what papermill injected into the notebook that is running, as `check_given` does.

    Parameters
    ----------
    cells
        The sources of the cells that ran; where left out, those of the kernel, if this is one.
    """
    if cells is None:
        shell = get_ipython()
        cells = () if shell is None else shell.user_ns.get("In", ())
    for before, source in pairwise(cells):
        if source.startswith(INJECTED):
            check_given(assigned(source), assigned(before))
