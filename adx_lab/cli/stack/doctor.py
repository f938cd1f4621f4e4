"""``adx-lab doctor``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from adx_lab.cli.console import print_json, print_next, print_table
from adx_lab.errors import AdxLabError, UsageError
from adx_lab.settings import read_settings


def run(*, metrics: Annotated[bool, Parameter(negative=())] = False, json: bool = False) -> int:
    """Check machine, limits and dependencies; exit 4 where something stops us.

    Parameters
    ----------
    metrics
        List what a budget can limit instead, with what the latest load measured of it.
    json
        Print the checks as one JSON document.
    """
    from adx_lab.conduct.checks import all_checks

    if metrics:
        return _metrics(json=json)
    checks = all_checks(read_settings())
    if json:
        print_json(list(checks))
    else:
        for check in checks:
            mark = "ok  " if check.ok else ("FAIL" if check.needed else "warn")
            print(f"{mark}  {check.name:<14}  {check.found}")
            if not check.ok:
                print(f"{'':22}-> {check.mend}")
    return AdxLabError.exit_code if any(not check.ok and check.needed for check in checks) else 0


def _metrics(*, json: bool) -> int:
    from adx_lab.analysis.run.budgets import METRICS
    from adx_lab.conduct.run.recorded import judge
    from adx_lab.report.run.tables import measured
    from adx_lab.store.folders import open_run

    settings = read_settings()
    try:
        judgement = judge(settings, open_run(settings.runs_dir, "latest", "load"))
    except UsageError:  # no load yet: the kinds are known all the same
        judgement = None
    found = {} if judgement is None else judgement.measured
    if json:
        values = {name: estimate.value for name, estimate in sorted(found.items())}
        print_json({"metrics": METRICS, "measured": values})
        return 0
    width = max(map(len, METRICS))
    for name, words in METRICS.items():
        print(f"{name:<{width}}  {words}")
    if judgement is not None:
        print(f"\nrun {judgement.record.run_id} of {judgement.record.service}:")
        print_table(measured(found))
    print_next('in adx-lab.toml: [[budget]] metric = "…", limit = …; or endpoint = "…", p95_ms = …')
    return 0
