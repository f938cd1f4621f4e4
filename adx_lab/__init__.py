"""ADX Lab says whether the service got slower, where, and which plan, cache layer or change did it.

The folders are the stages of the pipeline, and `adx_lab.experiment` conducts them::

    stack    start PostgreSQL, Valkey and the core
    load     drive it with Locust and record every request
    capture  look at it meanwhile: plans, statements, cache counters, resources
    store    keep the run: an immutable folder and a row
    analysis judge it: samples and plans in, frozen results out
    report   show it: figures, notebooks, pages
    duet     two variants at once, block by block, and a verdict that is sealed; its own conductor
    night    everything at once, for the nightly verdict
    cli, workbench   what people use: one file a verb, and the Python API (``from adx_lab import Lab``)

Imports go down only: cli and workbench, night, duet, experiment, report, then those five, which never import
one another, then records, settings, sql and errors. `adx_lab.core`, the service under test, stands apart and
runs as its own process.
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
