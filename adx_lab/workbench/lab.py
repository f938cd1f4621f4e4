"""The lab as one object: a stack in seconds, a run, a plan, a comparison, each one call."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell, read_matrix
from adx_lab.analysis.switches.worth import BLOCKS_DECISIVE
from adx_lab.capture.plans.foreign.statement import explain_statement
from adx_lab.capture.plans.matrix import capture_matrix
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.play import play
from adx_lab.conduct.plans import CORE_QUERIES, cells_of, query_names
from adx_lab.conduct.run import recorded
from adx_lab.conduct.run.request import LoadRequest, load_request, usual_scenario
from adx_lab.conduct.run.surroundings import Surroundings, elsewhere, surroundings
from adx_lab.conduct.sharing import put_up
from adx_lab.conduct.switches.catalogue import measures_of
from adx_lab.conduct.switches.measure import RulesOrder, measure_rules
from adx_lab.errors import UsageError
from adx_lab.progress import Progress
from adx_lab.records.run import Caveat
from adx_lab.report.nights.stored import stored_runs
from adx_lab.report.parts.numbers import number
from adx_lab.report.plans.svg import plan_figure
from adx_lab.report.plans.tables import findings_table, nodes_table
from adx_lab.report.switches.worth_figure import worth_of_rules
from adx_lab.report.switches.worth_table import rules_table
from adx_lab.services.stack_state import read_state
from adx_lab.settings import Settings, override, read_settings
from adx_lab.store.rows import list_runs
from adx_lab.store.rule_costs import read_rule_costs
from adx_lab.store.shared import find_run
from adx_lab.workbench.background import Background
from adx_lab.workbench.results import Duet, Result, Run, plans_result

BUDGET_MS = 10.0


class Lab:
    """The workbench: starts the embedded stack at first use, or attaches to one that is up, or to a URL.

    Parameters
    ----------
    home
        The folder with ``data/``, ``notebooks/`` and ``locustfiles/``; this checkout where left out.
    url
        Somebody else's service; then nothing is started.
    database_url, valkey_url
        That service's, or external ones for the lab's own stack.
    settings
        Any others, by their dotted names: ``{"dataset.scale": "standard"}``.

    Raises
    ------
    UsageError
        A setting is unknown or has a wrong value.

    Examples
    --------
    >>> lab = Lab()
    >>> run = lab.load("mixed", rate_per_s=300, duration_s=30)
    >>> run.latency().frame
    """

    def __init__(
        self,
        *,
        home: str | Path | None = None,
        url: str | None = None,
        database_url: str | None = None,
        valkey_url: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        flags = {"home": None if home is None else str(home), "valkey.url": valkey_url}
        flags |= {"database.url": database_url, **(settings or {})}
        self._settings = read_settings(flags=flags)
        self._url = url
        self._background = Background()
        self._held = AsyncExitStack()
        self._own: Surroundings | None = None
        # After the thread's own farewell was registered, so that it is called before.
        atexit.register(self.close)

    @property
    def settings(self) -> Settings:
        """The settings as resolved."""
        return self._settings

    def load(
        self,
        scenario: str | None = None,
        *,
        rate_per_s: float | None = None,
        duration_s: float | None = None,
        warmup_s: float | None = None,
        users: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
        locustfile: str | Path | None = None,
    ) -> Run:
        """Make one recorded load run, and return it.

        Parameters
        ----------
        scenario
            A locustfile of ``locustfiles/``, by name; left out, the project file's own, or mixed.
        rate_per_s, duration_s, warmup_s, users, workers, seed
            As ``adx-lab load`` has them; what is left out is the scenario's own.
        locustfile
            Somebody else's locustfile, as it is, in place of a scenario.

        Raises
        ------
        UsageError
            There is no such scenario, or a number is not positive.
        MeasurementError, StackError
            The load could not be made.
        """
        given = {"rate_per_s": rate_per_s, "duration_s": duration_s, "warmup_s": warmup_s, "users": users}
        given |= {"workers": workers, "seed": seed}
        flags = {f"load.{name}": value for name, value in given.items() if value is not None}
        for name, value in flags.items():
            if value < 0 or (value == 0 and name not in {"load.warmup_s", "load.seed"}):
                raise UsageError(f"{name.removeprefix('load.')} {value:g} is not a positive number")
        settings = override(self._settings, flags)
        request = load_request(
            settings,
            None if locustfile is not None else scenario or usual_scenario(settings),
            None if locustfile is None else Path(locustfile),
            given=frozenset(name.removeprefix("load.") for name in flags),
            url=self._url,
        )

        async def work(progress: Progress) -> Run:
            around = await self._around(progress)
            stored = await recorded.record_load(settings, around, request, progress)
            kept = recorded.keep(settings, stored)
            await put_up(settings, progress)
            return Run(kept)

        return self._background.call(work)

    def run(self, run_id: str = "latest") -> Run:
        """Return a stored load by its id, by the beginning of it, or the latest; of the team's, too.

        Raises
        ------
        UsageError
            There is none, there are several, or it is a duet.
        StoreError
            It is damaged, or was made by a newer version.
        """
        return Run(recorded.judge(self._settings, find_run(self._settings, run_id, "load", "climb")))

    def runs(self) -> Result:
        """Return all stored runs, oldest first; the columns after ``status`` are their figures."""
        listing = list_runs(self._settings, everywhere=True)
        rows, doubts = listing.rows, tuple(Caveat("run-store", line) for line in listing.trouble)
        plain = [{name: row[name] for name in row if name != "figures"} for row in rows]
        figures = pd.DataFrame([row["figures"] for row in rows])
        return Result(pd.concat([pd.DataFrame(plain), figures], axis=1), (stored_runs(rows[::-1]),), doubts)

    def explain(self, query: str, tenant: str = "whale", *, mode: str = "custom") -> Result:
        """Explain a named query of the core for one kind of tenant, or any statement.

        Parameters
        ----------
        query
            A name (``users.get``), the beginning of several (``users.list``), or SQL.
        tenant
            whale, median, small or absent; not used for SQL.
        mode
            custom or generic: which plan of a prepared statement.

        Returns
        -------
        Result
            Each plan as a picture with its findings and the 10 ms budget; ``frame`` has a row a node.
        """
        if any(character.isspace() for character in query.strip()):
            return self._explain_sql(query)
        names = query_names(query)
        cells_of(Matrix({}), tenant, mode)  # refused before a stack is started

        async def work(progress: Progress) -> dict[str, Any]:
            around = await self._around(progress)
            return await capture_matrix(_database(around), CORE_QUERIES, only=names)

        matrix = read_matrix(self._background.call(work))
        return _pictures(cells_of(matrix, tenant, mode))

    def plans(self) -> Result:
        """Return the plan of every named query, for four kinds of tenant, custom and generic."""

        async def work(progress: Progress) -> dict[str, Any]:
            return await capture_matrix(_database(await self._around(progress)), CORE_QUERIES)

        return plans_result(read_matrix(self._background.call(work)))

    def duet(
        self,
        base: str,
        head: str,
        *,
        scenario: str | None = None,
        rate_per_s: float | None = None,
        blocks: int | None = None,
        seconds: float | None = None,
        profile: str = "nightly",
        seed: int = 1,
    ) -> Duet:
        """Compare two variants: git refs, ``.`` for the working tree, URLs, with settings after a ``+``.

        Raises
        ------
        UsageError
            A variant or a number is wrong.
        """
        order = DuetOrder(
            base,
            head,
            scenario=scenario or usual_scenario(self._settings),
            rate_per_s=rate_per_s,
            blocks=blocks,
            seconds=seconds,
            profile=profile,
            seed=seed,
        )
        played = self._background.call(lambda progress: play(self._settings, order, progress))
        return Duet(played.answer.verdict, played.caveats)

    def rules(self, *names: str, measure: bool = False, blocks: int = BLOCKS_DECISIVE) -> Result:
        """Return what the performance rules are worth: the latest that is stored, or measured now.

        Parameters
        ----------
        names
            Which; all where none is named.
        measure
            Whether to measure them, which takes about a minute a rule.
        blocks
            Of each rule that is measured.

        Raises
        ------
        UsageError
            There is no such rule.
        """
        order = RulesOrder(names, blocks=blocks)
        if measure:
            costs = self._background.call(lambda progress: measure_rules(self._settings, order, progress))
        else:
            known = read_rule_costs(self._settings)
            costs = tuple(known[one.rule] for one in measures_of(names) if one.rule in known)
        shown = (worth_of_rules(costs), rules_table(costs))
        return Result(pd.DataFrame([asdict(cost) for cost in costs]), shown)

    def __repr__(self) -> str:
        state = read_state(self._settings)
        if self._url is not None:
            what = f"measures {self._url}"
        elif state is None:
            what = "its stack starts with the first call that needs it"
        else:
            what = f"its stack is up, the service at {state.base_url}"
        return f"<Lab in {self._settings.home_dir.name}: {what}>"  # a path would be published with a notebook

    def close(self) -> None:
        """Stop the stack, if this lab started it; stored runs stay."""
        atexit.unregister(self.close)
        if self._own is not None:
            self._own = None
            self._background.call(lambda _: self._held.aclose())
        self._background.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _explain_sql(self, text: str) -> Result:
        async def work(progress: Progress) -> dict[str, Any]:
            url = self._settings.database.url if self._url is not None else None
            if url is None:
                url = _database(await self._around(progress))
            return await explain_statement(url, text)

        document = self._background.call(work)
        cells = list(read_matrix(document).cells.values())
        error = document["plans"][0]["error"]
        return _pictures(cells, () if error is None else (Caveat("not-executed", error),))

    async def _around(self, progress: Progress) -> Surroundings:
        """Return what is to be measured: a URL, our own stack, the one that is up, or one started now."""
        if self._url is not None:
            request = LoadRequest("any", Path("any.py"), url=self._url)
            return await elsewhere(self._settings, request)
        if self._own is not None:
            return self._own
        state = read_state(self._settings)
        if state is not None:  # somebody else's: it may be gone at the next call
            return Surroundings.of_stack(state)
        self._own = await self._held.enter_async_context(surroundings(self._settings, progress))
        return self._own


def _database(around: Surroundings) -> str:
    if around.target.database_url is None:
        raise UsageError("this service's database is not known", mend="give Lab(database_url=...)")
    return around.target.database_url


def _pictures(cells: list[PlanCell], caveats: tuple[Caveat, ...] = ()) -> Result:
    shown: list[Any] = []
    for cell in cells:
        took = cell.analysis.execution_ms
        budget = "" if took is None else f" · {number(took)} of {BUDGET_MS:g} ms"
        over = " · OVER BUDGET" if took is not None and took > BUDGET_MS else ""
        title = " · ".join(part for part in (cell.query, cell.tenant, cell.mode) if part)
        shown.append(plan_figure(cell.analysis, title=f"{title}{budget}{over}"))
        if cell.analysis.findings:
            shown.append(findings_table(cell.analysis.findings))
    frame = nodes_table((cell.query, cell.analysis) for cell in cells).frame
    return Result(frame, tuple(shown), caveats)
