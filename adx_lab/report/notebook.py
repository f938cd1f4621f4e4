"""What a notebook's first cell calls: its parameters, checked, and the run that they name.

papermill injects parameters as source and checks nothing, so that a misspelt id would fail ten cells later.
"""

from __future__ import annotations

from pathlib import Path

from adx_lab.errors import UsageError
from adx_lab.report.judgement import Judgement
from adx_lab.settings import read_settings
from adx_lab.store.folders import open_run


def open_judgement(*, run_id: str = "latest", home: str = "") -> Judgement:
    """Return a stored run, put before the budgets.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``.
    home
        The folder with ``data/``; empty for this checkout or ``ADX_LAB_HOME``.

    Raises
    ------
    UsageError
        A parameter is of the wrong type, or there is no such run.
    """
    for name, value in (("run_id", run_id), ("home", home)):
        if not isinstance(value, str):
            raise UsageError(
                f"the parameter {name} is {value!r}, not text", mend="correct the parameters cell"
            )
    settings = read_settings(flags={"home": home or None})
    run = open_run(settings.runs_dir, run_id)
    return Judgement(run, Path(settings.data_dir / "budgets.toml"))
