"""``adx-lab doctor``."""

from __future__ import annotations

from adx_lab.cli.console import print_json
from adx_lab.errors import AdxLabError
from adx_lab.settings import read_settings


def run(*, json: bool = False) -> int:
    """Check machine, limits and dependencies; exit 3 where something stops us.

    Parameters
    ----------
    json
        Print the checks as one JSON document.
    """
    from adx_lab.conduct.checks import all_checks

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
