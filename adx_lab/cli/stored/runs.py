"""``adx-lab runs list|show|delete``."""

from __future__ import annotations

from cyclopts import App

from adx_lab.cli.console import print_json, print_pairs, print_table
from adx_lab.cli.stored.history import show_history
from adx_lab.records.run import to_plain
from adx_lab.report.parts.numbers import number
from adx_lab.settings import read_settings
from adx_lab.store.folders import delete_run_folder, open_run
from adx_lab.store.rows import RunStore

app = App(name="runs", help="List, show or delete stored runs; look back at all of them.")
app.command(show_history, name="history")


@app.command(name="list")
def list_runs(*, json: bool = False) -> int:
    """List the stored runs, oldest first.

    Parameters
    ----------
    json
        Print them as one JSON document.
    """
    store = RunStore(read_settings().store_url)
    rows = store.list()
    store.close()
    if json:
        print_json(rows)
        return 0
    header = ("run", "kind", "scenario", "started", "duration s", "commit", "status")
    print_table(
        header,
        [
            (
                row["run_id"],
                row["kind"],
                row["scenario"],
                row["started_at"],
                number(row["duration_s"]),
                (row["commit_id"] or "-")[:10],
                row["status"] or "-",
            )
            for row in rows
        ],
    )
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
    settings = read_settings()
    stored = open_run(settings.runs_dir, run_id)
    store = RunStore(settings.store_url)
    row = next((row for row in store.list() if row["run_id"] == stored.record.run_id), None)
    store.close()
    document = to_plain(stored.record) | {
        "folder": str(stored.folder),
        "status": row and row["status"],
        "figures": row["figures"] if row else {},
    }
    if json:
        print_json(document)
        return 0
    shown = ("run_id", "kind", "scenario", "started_at", "status", "folder")
    print_pairs({name: document[name] for name in shown})
    print_pairs({f"  {name}": number(value) for name, value in document["figures"].items()})
    for caveat in stored.record.caveats:
        print(f"caveat: {caveat.text}")
    return 0


@app.command
def delete(run_id: str, /) -> int:
    """Delete one run: its folder and its row.

    Parameters
    ----------
    run_id
        The run's id, or an unambiguous beginning of it.
    """
    settings = read_settings()
    stored = open_run(settings.runs_dir, run_id)
    delete_run_folder(settings.runs_dir, stored.record.run_id)
    store = RunStore(settings.store_url)
    store.delete(stored.record.run_id)
    store.close()
    print(f"deleted {stored.record.run_id}")
    return 0
