"""The report: a folder that opens without a network, its verdict first."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import plotly
from jinja2 import Environment, FileSystemLoader, select_autoescape

from adx_lab.analysis.audit import ValidityCheck
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.errors import StoreError, UsageError
from adx_lab.progress import Progress
from adx_lab.records import Caveat, RunRecord, to_json
from adx_lab.report import figures, tables
from adx_lab.report.figures import Figure
from adx_lab.report.findings import budget_findings
from adx_lab.report.format import number
from adx_lab.report.judgement import Judgement
from adx_lab.report.notebooks import NotebookOutcome, execute_notebook
from adx_lab.report.plan_table import headroom_table, matrix_table, notable_table, slow_table
from adx_lab.report.tables import Table
from adx_lab.settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"
NOTEBOOKS = ("regression_report",)


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written."""

    verdict: Verdict
    index: Path
    summary: str


async def make_report(settings: Settings, judgement: Judgement, progress: Progress) -> Report:
    """Execute the notebooks, decide, and write the report's folder; it appears whole or not at all."""
    run_id = judgement.record.run_id
    folder = settings.reports_dir / run_id
    partial = settings.reports_dir / f".{run_id}.partial"
    _make_folder(partial)
    try:
        progress.step(f"executing {len(NOTEBOOKS)} notebook{'s' if len(NOTEBOOKS) > 1 else ''}")
        outcomes = await _execute_all(settings, run_id, partial)
        progress.step("judging and writing the report")
        verdict = _decide(judgement, outcomes, folder / "index.html")
        summary = await asyncio.to_thread(_write, partial, judgement, verdict, outcomes)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Report(verdict, folder / "index.html", summary)


def _make_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError(f"the report can't be written to {folder.parent}: {error.strerror}") from error


async def _execute_all(settings: Settings, run_id: str, folder: Path) -> list[NotebookOutcome]:
    async def execute(name: str) -> NotebookOutcome:
        source = settings.home_dir / "notebooks" / f"{name}.ipynb"
        if not source.is_file():
            raise UsageError(f"there is no notebook {source}", mend="restore it")
        return await execute_notebook(
            source,
            folder / source.name,
            {"run_id": run_id, "home": str(settings.home_dir)},
            cell_timeout_s=settings.notebook.cell_timeout_s,
            log=folder / f"{name}.log",
        )

    return list(await asyncio.gather(*(execute(name) for name in NOTEBOOKS)))


def _decide(judgement: Judgement, outcomes: list[NotebookOutcome], index: Path) -> Verdict:
    broken = sum(not outcome.ok for outcome in outcomes)
    checks = (*judgement.validity, ValidityCheck("notebooks_failed", float(broken), 0.0, broken == 0))
    return decide(
        run_id=judgement.record.run_id,
        budgets=judgement.budgets,
        findings=budget_findings(judgement),
        validity=checks,
        report=str(index),
    )


def _write(folder: Path, judgement: Judgement, verdict: Verdict, outcomes: list[NotebookOutcome]) -> str:
    environment = _environment()
    (folder / "verdict.json").write_text(to_json(verdict.to_json(), indent=2) + "\n", encoding="utf-8")
    script = Path(plotly.__file__).parent / "package_data" / figures.PLOTLY_JS
    shutil.copyfile(script, folder / figures.PLOTLY_JS)
    for outcome in outcomes:
        page = environment.get_template("notebook.html.j2").render(
            name=outcome.name, run_id=verdict.run_id, outcome=outcome, body=outcome.body
        )
        (folder / f"{outcome.name}.html").write_text(page, encoding="utf-8")
    summary = summarise_verdict(verdict)
    sections = _sections(judgement, verdict)
    page = environment.get_template("index.html.j2").render(
        verdict=verdict,
        record=judgement.record,
        summary=summary,
        notebooks=outcomes,
        sections=sections,
        caveats=all_caveats(judgement),
        calibration_note=_calibration_note(verdict),
        observing_note=_observing_note(judgement.record),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return summary


_BUDGET_NOTE = (
    "A budget passes when its whole interval keeps the limit, fails when all of it breaks it, and is "
    "undecided between. Intervals within one run cover that run only."
)


def summarise_verdict(verdict: Verdict) -> str:
    """Return one sentence: how the budgets stand, or why the run can't be trusted."""
    broken = [check.check for check in verdict.validity if not check.ok]
    if broken:
        return f"This run can't be trusted: {', '.join(broken)} beyond the limit."
    counts = {
        status: sum(item.status == status for item in verdict.budgets)
        for status in ("pass", "fail", "undecided")
    }
    said = f"{counts['pass']} of {len(verdict.budgets)} budgets are kept"
    if counts["fail"]:
        said += f", {counts['fail']} broken"
    if counts["undecided"]:
        said += f", {counts['undecided']} can't be told from this run"
    return said + "."


def all_caveats(judgement: Judgement) -> list[Caveat]:
    """Return every reason to doubt the run's numbers, each once."""
    found = {caveat.text: caveat for caveat in judgement.record.caveats}
    for summary in judgement.endpoints:
        found |= {caveat.text: caveat for caveat in summary.caveats}
    for budget in judgement.budgets:
        found |= {caveat.text: caveat for caveat in budget.caveats}
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; ``show`` is a figure or a table."""

    anchor: str
    title: str
    show: Figure | Table
    note: str = ""
    folded: bool = False


def _sections(judgement: Judgement, verdict: Verdict) -> list[Section]:
    parts = [
        Section("budgets", "Budgets", tables.budgets(verdict.budgets), _BUDGET_NOTE),
        Section("endpoints", "Endpoints", tables.endpoints(judgement.endpoints)),
        Section("distribution", "Latency distribution", figures.latency_distribution(judgement.samples)),
        Section("timeline", "Over time", figures.latency_over_time(judgement.samples)),
        Section("heatmap", "Every request", figures.latency_heat_map(judgement.samples)),
        Section("tails", "Where the slowest 5% spend their time", tables.tails(judgement.tails)),
        Section("cache", "Cache", figures.cache_over_time(judgement.cache)),
        Section("resources", "Resources", figures.resources_over_time(judgement.resources)),
        Section("slow", "Queries above 10 ms under load", slow_table(judgement), _SLOW_NOTE),
        Section("waits", "What the database waited for", tables.waits(judgement.record), _WAITS_NOTE),
        Section("notable", "Plans that deserve a look", notable_table(judgement.plans)),
        Section("headroom", "How long queries keep 10 ms", headroom_table(judgement.plans), _HEADROOM_NOTE),
        Section("plans", "Every query plan", matrix_table(judgement.plans), _PLANS_NOTE, folded=True),
        Section("statements", "Dearest statements", tables.statements(judgement.database)),
        Section("validity", "Can this run be trusted?", tables.validity(verdict.validity)),
    ]
    return [part for part in parts if not (isinstance(part.show, Table) and not part.show.rows)]


_SLOW_NOTE = (
    "The slowest executions with the plans they really had (auto_explain), and the requests that "
    "suffered (– for a workflow's query, or one of the warm-up). A good plan in a slow execution means that "
    "the query waited: for a processor, a lock or a disk."
)
_WAITS_NOTE = "Samples of the database's active clients, five a second; CPU: running waits for nothing."
_HEADROOM_NOTE = (
    "From the measured time a page: how many times today's rows fit before the query leaves its 10 ms."
)
_PLANS_NOTE = (
    "Every named query as PostgreSQL executed it, by kind of tenant and plan mode (custom: made for the "
    "values; generic: made for any). Pages are of 8 kB."
)


def _observing_note(record: RunRecord) -> str:
    cost = record.audit.get("observing")
    if cost is None:
        return "What observing cost was not measured."
    bare_ms, observed_ms, timed_ms = cost["bare_ms"], cost["observed_ms"], cost["timed_ms"]
    return (
        f"Observing the database makes the shortest query take {number(observed_ms)} ms instead of "
        f"{number(bare_ms)} ms ({observed_ms / bare_ms - 1:+.0%}); with a clock on every plan node it would "
        f"be {number(timed_ms)} ms."
    )


def _calibration_note(verdict: Verdict) -> str:
    if verdict.calibration is None:
        return "This machine has no calibration yet: how often it cries wolf is not known."
    return f"Calibration of this machine: {verdict.calibration}."


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(["j2"]), trim_blocks=True
    )
    environment.globals.update(
        css=(_TEMPLATES / "style.css").read_text(encoding="utf-8"),
        plotly_js=figures.PLOTLY_JS,
    )
    return environment
