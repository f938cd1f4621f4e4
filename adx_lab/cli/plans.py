"""``adx-lab plans`` and ``plans compare BASE HEAD``; ``plans show`` is in a file of its own.

What only the two need is imported by them: ``plans show`` passes through here and should answer at once.
"""

from __future__ import annotations

import json as jsonlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from adx_lab.cli.checks import check_database, check_writable
from adx_lab.cli.console import ConsoleProgress, print_json, print_rich
from adx_lab.cli.help_text import example
from adx_lab.errors import UsageError

if TYPE_CHECKING:
    from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell
    from adx_lab.capture.plans.foreign.anywhere import Asking

app = App(
    name="plans",
    help="Capture query plans now, read any plan, compare two captures.",
    help_epilogue=example("plans"),
)
app.command("adx_lab.cli.plans_show:show", name="show")


@app.default
def capture(
    *,
    query: str | None = None,
    tenant: str | None = None,
    mode: str | None = None,
    database: str | None = None,
    limit: int = 20,
    role: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    resample: int = 0,
    grow: int = 0,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Capture the plan of every named query, for each kind of tenant, custom and generic.

    Parameters
    ----------
    query
        Show this one's plan (or those of ``users.list``, which are several) as a tree instead of the matrix.
        With ``--database``: the statements whose text or number contains this.
    tenant
        With ``--query``: for whom; whale (where left out), median, small or absent.
    mode
        With ``--query``: custom (where left out) or generic.
    database
        Any PostgreSQL instead of the service's: the plans of its dearest statements, for any value and for
        values that occur. None is executed, and nothing is left behind.
    limit
        With ``--database``: how many statements.
    role
        With ``--database``: the role to take on, as row-level security asks for.
    set_
        With ``--database``: NAME=VALUE, a setting as the application makes it for each request; several.
    resample
        Clone the data set, analyse the clone so many times and plan again after each: a plan that another
        sample of the same rows turns over is a tie, and no reason for an alarm.
    grow
        Clone the data set, copy the whale's rows until it has so many times as many, and hold what was
        forecast for each query against what it then takes.
    out
        Save the capture there, for ``plans compare``.
    json
        Print the capture with its flips, ties and headroom as one JSON document.
    """
    import asyncio

    from adx_lab.analysis.plans.captures.flips import find_flips, find_ties
    from adx_lab.analysis.plans.captures.headroom import headrooms
    from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
    from adx_lab.conduct import plans as conductor
    from adx_lab.report.plans.terminal_matrix import matrix_text
    from adx_lab.settings import read_settings

    check_database(database)
    check_writable("--out", out)
    if grow:
        return _show_growth(grow, query, alone=database is None and not resample, json=json)
    if resample < 0:
        raise UsageError(f"--resample {resample} is not a number of times")
    if resample and database is not None:
        raise UsageError("--resample needs a clone of the stack's own data", mend="leave --database out")
    whose = _whose(query, tenant, mode)
    only = None
    asking = _asking(limit, query, role, set_)
    settings = read_settings()
    named = database is None and settings.queries_dir is not None
    if named and (role is not None or set_):
        raise UsageError("--role and --set are for services that name no queries", mend="give --database")
    if query is not None and named:
        only = conductor.query_names(query)
        conductor.cells_of(Matrix({}), *whose)  # refused before a stack is started
    document = asyncio.run(
        conductor.capture(settings, database, ConsoleProgress(), only=only, resample=resample, asking=asking)
    )
    if out is not None:
        _save(document, out)
    matrix = read_matrix(document)
    if query is not None and named:
        return _show_cells(conductor.cells_of(matrix, *whose), json=json)
    if json:
        flips, ties, rooms = find_flips(matrix), find_ties(matrix), headrooms(matrix)
        cells = [_cell(cell) for cell in matrix.cells.values()]
        plain = [{"query": flip.query, "tenant": flip.tenant, "words": flip.words} for flip in flips]
        print_json({"capture": document, "plans": cells, "flips": plain, "ties": ties, "headroom": rooms})
        return 0
    if not named:
        from adx_lab.report.parts.table_text import table_text
        from adx_lab.report.plans.tables import statement_table

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(table_text(statement_table(matrix), width=width))
        print()
    print_rich(matrix_text(matrix, headline=named))
    _say_what_is_missing(document)
    return 0


def _show_growth(times: int, query: str | None, *, alone: bool, json: bool) -> int:
    import asyncio

    from adx_lab.conduct import plans as conductor
    from adx_lab.records.documents import to_plain
    from adx_lab.report.parts.table_text import table_text
    from adx_lab.report.plans.tables import growth_table
    from adx_lab.settings import read_settings

    if times < 2:
        raise UsageError(f"--grow {times} does not grow", mend="ask for twice as many rows or more")
    if not alone:
        raise UsageError("--grow needs a clone of the stack's own data, and nothing else with it")
    only = None if query is None else conductor.query_names(query)
    checking = conductor.check_growth(
        read_settings(), ConsoleProgress(), times=times, tenant="whale", only=only
    )
    forecasts = asyncio.run(checking)
    if json:
        print_json([{**to_plain(item), "factor": item.factor, "holds": item.holds} for item in forecasts])
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table_text(growth_table(forecasts), width=width))
    known = [item for item in forecasts if item.known]
    print(f"{sum(item.holds for item in known)} of {len(known)} forecasts were within a factor of two")
    return 0


def _whose(query: str | None, tenant: str | None, mode: str | None) -> tuple[str, str]:
    if query is None and (tenant is not None or mode is not None):
        raise UsageError("--tenant and --mode choose among the plans of a query", mend="name it with --query")
    return tenant or "whale", mode or "custom"


def _asking(limit: int, query: str | None, role: str | None, settings: tuple[str, ...]) -> Asking:
    from adx_lab.capture.plans.foreign.anywhere import Asking

    if limit < 1:
        raise UsageError(f"--limit {limit} is not a number of statements")
    wrong = next((setting for setting in settings if "=" not in setting), None)
    if wrong is not None:
        raise UsageError(f"--set {wrong} sets nothing", mend="write NAME=VALUE")
    pairs = dict(setting.partition("=")[::2] for setting in settings)
    return Asking(statements_max=limit, query=query, role=role, settings=pairs)


def _say_what_is_missing(document: dict[str, Any]) -> None:
    """Say what was not explained: each with its reason, but what has no plan only as a number."""
    without = 0
    for fault in document.get("faults", ()):
        if fault["error"] == "not a statement that has a plan":
            without += 1
            continue
        text = " ".join(str(document["queries"].get(fault["query"], {}).get("text", "")).split())[:100]
        print(
            f"not captured: {fault['query']} ({fault['tenant']}, {fault['mode']}): {fault['error']}: {text}"
        )
    if without:
        print(f"{without} statements have no plan (SET, BEGIN, VACUUM and the like)")
    for note in document.get("notes", ()):
        print(note)


@app.command
def compare(base: Path, head: Path, /, *, json: bool = False) -> int:
    """Say what differs between two captures, and why; exit 1 where something got worse.

    Parameters
    ----------
    base
        The earlier capture (``adx-lab plans --out FILE``).
    head
        The later one.
    json
        Print the changes as one JSON document.
    """
    import asyncio

    from adx_lab.conduct import plans as conductor
    from adx_lab.report.plans.terminal_matrix import changes_text
    from adx_lab.settings import read_settings

    before, after = _load(base), _load(head)
    explained = asyncio.run(conductor.explain_changes(read_settings(), before, after, ConsoleProgress()))
    if json:
        print_json([{"change": change, "cause": cause} for change, cause in explained])
    else:
        print_rich(changes_text([change for change, _ in explained], [cause for _, cause in explained]))
    return 1 if any(change.worse and not change.tie for change, _ in explained) else 0


def _show_cells(cells: list[PlanCell], *, json: bool) -> int:
    from adx_lab.analysis.plans.captures.matrix import for_whom
    from adx_lab.report.plans.terminal import print_plans

    if json:
        print_json([_cell(cell) for cell in cells])
        return 0
    for cell in cells:
        print(f"{cell.query} for {for_whom(cell.tenant)}, {cell.mode} plan")
        print_plans([cell.analysis])
    return 0


def _cell(cell: Any) -> dict[str, Any]:
    from adx_lab.report.plans.document import plan_document

    return {"query": cell.query, "tenant": cell.tenant, "mode": cell.mode} | plan_document(cell.analysis)


def _load(file: Path) -> Matrix:
    from adx_lab.analysis.plans.captures.matrix import read_matrix
    from adx_lab.cli.plans_show import read_text

    try:
        document = jsonlib.loads(read_text(str(file)))
    except jsonlib.JSONDecodeError as error:
        raise UsageError(
            f"{file} is not JSON: {error}", mend="capture with adx-lab plans --out FILE"
        ) from error
    return read_matrix(document)


def _save(document: dict[str, Any], out: Path) -> None:
    partial = out.with_name(f"{out.name}.partial")
    try:
        partial.write_text(jsonlib.dumps(document), encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise UsageError(f"{out} can't be written: {error.strerror}") from error
