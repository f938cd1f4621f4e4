"""ADX Lab says whether the service got slower, where, and which plan, cache layer or change did it.

The folders are the stages of the pipeline, and `adx_lab.conduct` conducts them::

    stack    start PostgreSQL, Valkey and the service
    load     drive it with Locust and record every request
    capture  look at it meanwhile: plans, statements, cache counters, resources
    store    keep the run: an immutable folder and a row
    analysis judge it: samples and plans in, frozen results out
    report   show it: figures, notebooks, pages
    conduct  a run, a duet, a calibration, the switches, a night: each reads as prose
    cli, workbench   what people use: one file a verb, and the Python API (``from adx_lab import Lab``)

Imports go down only: cli and workbench, conduct, report, then stack, load, capture and store, which never
import one another, then analysis, which is pure, then records, settings, sql and errors. `adx_lab.core`, the
reference service, stands apart and runs as its own process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adx_lab.workbench.lab import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    """Load the Python API when somebody asks for it: the command line should not wait for pandas."""
    if name == "Lab":
        from adx_lab.workbench.lab import Lab  # noqa: PLC0415

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Make ``%%explain`` known: ``%load_ext adx_lab``."""
    from adx_lab.workbench.magic import load_ipython_extension as load  # noqa: PLC0415

    load(shell)
