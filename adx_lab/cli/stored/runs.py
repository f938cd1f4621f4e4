"""``adx-lab runs list|show|compare|delete|push|rebuild``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from adx_lab.cli.console import ConsoleProgress, print_json, print_next, print_pairs, print_table, say_error
from adx_lab.cli.help_text import example
from adx_lab.cli.stored.history import show_history
from adx_lab.errors import UsageError, on_a_terminal
from adx_lab.records.documents import to_plain
from adx_lab.report.parts.numbers import number
from adx_lab.settings import read_settings

app = App(
    name="runs",
    help="List, show or delete stored runs; look back at all of them; put them into a team's store.",
    help_epilogue=example("runs"),
)
app.command(show_history, name="history")


@app.command(name="list")
def list_runs(*, json: bool = False) -> int:
    """List the stored runs, oldest first.

    Parameters
    ----------
    json
        Print them as one JSON document.
    """
    from adx_lab.report.nights.stored import stored_runs
    from adx_lab.store.rows import list_runs as list_runs_of

    listing = list_runs_of(read_settings(), everywhere=True)
    for line in listing.trouble:
        say_error(line)
    if json:
        print_json(listing.rows)
        return 0
    print_table(stored_runs(listing.rows))
    print_next("adx-lab runs show RUN says more; adx-lab report RUN makes its page")
    return 0


@app.command
def show(run_id: str = "latest", /, *, json: bool = False) -> int:
    """Show one run: what it was, under which settings, and its figures.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``.
    json
        Print it as one JSON document.
    """
    from adx_lab.store.rows import list_runs as list_runs_of
    from adx_lab.store.shared import find_run

    settings = read_settings()
    run = find_run(settings, run_id)
    rows = list_runs_of(settings).rows
    row = next((row for row in rows if row["run_id"] == run.record.run_id), None)
    document = to_plain(run.record) | {
        "kind": run.record.kind,
        "folder": str(run.folder),
        "status": row and row["status"],
        "figures": row["figures"] if row else {},
    }
    if json:
        print_json(document)
        return 0
    shown = ("run_id", "kind", "scenario", "started_at", "status", "folder")
    print_pairs({name: document[name] for name in shown})
    if len(run.record.variants) > 1:
        print_pairs({"base": run.record.variants[0], "head": run.record.variants[1]})
    page = settings.reports_dir / run.record.run_id / "index.html"
    made = page if page.is_file() else f"none yet; adx-lab report {run.record.run_id} makes it"
    print_pairs({"page": made})
    print_pairs({f"  {name}": number(value) for name, value in document["figures"].items()})
    for caveat in run.record.caveats:
        print(on_a_terminal(f"caveat: {caveat.text}"))
    return 0


@app.command
def compare(base: str, head: str, /, *, json: bool = False) -> int:
    """Compare any two stored runs: what differs, beyond what nights differ by. It is no verdict of cause.

    Parameters
    ----------
    base
        The run that is compared with.
    head
        The run that is looked at.
    json
        Print it as one JSON document.
    """
    from adx_lab.conduct.nights.usual import compare_runs
    from adx_lab.report.duet.comparison_tables import comparisons, telling
    from adx_lab.report.page.sheets.two_runs import write_compared
    from adx_lab.store.shared import find_run

    settings = read_settings()
    answer = compare_runs(settings, base, head)
    if json:
        print_json(answer)
        return 0
    print("The two were not measured side by side: what differs may be the machine, the data or the hour.\n")
    told = telling(answer.comparisons) or list(answer.comparisons)
    print_table(comparisons(told))
    rest = len(answer.comparisons) - len(told)
    print(f"{rest} more show no difference; --json and the page have each\n" if rest else "")
    for finding in answer.findings:
        print(f"finding  {finding.kind}, {finding.subject}: {finding.cause}")
    base, head = (find_run(settings, one).record.run_id for one in (base, head))
    print(f"page     {write_compared(settings, base, head, answer)}")
    return 0


@app.command
def delete(run_id: str | None = None, /, *, older_than: float | None = None, keep: int | None = None) -> int:
    """Delete one run, or old ones: folder, report and row; never those of the baseline's commit.

    From the team's store, too: one by its whole id, of old ones those that this home has put there.

    Parameters
    ----------
    run_id
        The run's whole id.
    older_than
        Delete those that are older than so many days.
    keep
        Delete all but the newest so many; with ``--older-than`` those of them that are older.
    """
    from adx_lab.conduct import stored

    many = older_than is not None or keep is not None
    if many == (run_id is not None):
        raise UsageError("say which runs", mend="give one whole id, or --older-than DAYS and --keep RUNS")
    settings = read_settings()
    if run_id is not None:
        stored.delete(settings, run_id)
        print(f"deleted {run_id}")
        return 0
    deleted = stored.delete_old(settings, older_than_days=older_than, keep=keep)
    for name in deleted:
        print(f"deleted {name}")
    print(f"deleted {len(deleted)} run{'' if len(deleted) == 1 else 's'}")
    return 0


@app.command
def push(
    run_id: str | None = None, /, *, everything: Annotated[bool, Parameter(name="--all", negative=())] = False
) -> int:
    """Put into the team's store what could not be put there when it was stored.

    Parameters
    ----------
    run_id
        Only this run.
    everything
        All runs that are here, also those from before ``store.runs_url`` was set.
    """
    import asyncio

    from adx_lab.conduct.sharing import push as push_runs
    from adx_lab.store.folders import named, run_ids
    from adx_lab.store.shared import is_copy, owed, require_shared

    settings = read_settings()
    shared = require_shared(settings)
    own = [one for one in run_ids(settings.runs_dir) if not is_copy(settings.runs_dir / one)]
    chosen = own if everything else owed(settings)
    if run_id is not None:
        chosen = [named(own, run_id, settings.runs_dir)]
    done = asyncio.run(push_runs(settings, chosen))
    for name in done:
        print(f"put up {name}")
    print(f"put {len(done)} run{'' if len(done) == 1 else 's'} into {shared.shown}")
    return 0


@app.command
def rebuild(*, json: bool = False) -> int:
    """Make the run store anew from the folders and the team's store; nothing that is stored is lost by it.

    Parameters
    ----------
    json
        Print what was added as one JSON document.
    """
    from adx_lab.conduct import stored
    from adx_lab.store.rows import list_runs as list_runs_of

    settings = read_settings()
    added = stored.rebuild(settings, ConsoleProgress())
    count = len(list_runs_of(settings).rows)
    if json:
        print_json({"runs": count, "added": added})
    else:
        print(f"the run store holds {count} run{'' if count == 1 else 's'}; {len(added)} from folders alone")
    return 0
