"""``adx-lab statements [RUN]``."""

from __future__ import annotations

from adx_lab.cli.console import print_json, print_next, print_table
from adx_lab.errors import UsageError
from adx_lab.settings import read_settings


def run(run_id: str = "latest", /, *, tree: int | None = None, json: bool = False) -> int:
    """Show what the database was asked during a load: text, calls a request, ms, pages, and by whom.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``: the latest load.
    tree
        Show the text and the captured plan of the statement with this number.
    json
        Print the statements, or the plan, as one JSON document.
    """
    from adx_lab.conduct.run.recorded import judge
    from adx_lab.report.plans.document import plan_document
    from adx_lab.report.plans.terminal import print_plans
    from adx_lab.report.run.statements import cell_of, statement_costs, statement_table
    from adx_lab.store.shared import find_run

    settings = read_settings()
    stored = find_run(settings, run_id, "load", "climb")
    judgement = judge(settings, stored)
    costs = statement_costs(judgement)
    if not costs:
        raise UsageError(
            f"run {stored.record.run_id} has no statements: nobody looked into a database",
            mend="name it: --database URL, or service.database.url in the project file",
        )
    if tree is not None:
        cell = cell_of(judgement, costs, tree)
        if json:
            print_json(
                {"query": cell.query, "tenant": cell.tenant, "mode": cell.mode} | plan_document(cell.analysis)
            )
            return 0
        print(costs[tree - 1].text)
        print_plans([cell.analysis])
        return 0
    if json:
        print_json(costs)
        return 0
    print(f"run      {stored.record.run_id}  {stored.record.service}, {stored.record.scenario}\n")
    print_table(statement_table(costs))
    if not any(one.asked_by for one in costs):
        print("who asks them is known of nights, and of services that say it themselves")
    print_next("adx-lab statements --tree 1 shows the plan of the first")
    return 0
