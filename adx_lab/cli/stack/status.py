"""``adx-lab status``."""

from __future__ import annotations

from adx_lab.cli.console import print_json, print_pairs
from adx_lab.settings import read_settings


def run(*, json: bool = False) -> int:
    """Show the stack's URLs and health; exit 0 when it is up, 3 when it is not.

    Parameters
    ----------
    json
        Print it as one JSON document.
    """
    from adx_lab.services import stack_state

    settings = read_settings()
    state = stack_state.read_state(settings)
    if state is None:
        starting = stack_state.holder_pid(settings) is not None
        report: dict[str, object] = {
            "status": "starting" if starting else "down",
            "logs": str(stack_state.logs_dir(settings)),
        }
    else:
        report = stack_state.health(state)
    if json:
        print_json(report)
    else:
        print_pairs(report)
    return 0 if report["status"] == "up" else 3
