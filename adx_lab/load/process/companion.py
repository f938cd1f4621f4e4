"""A test that somebody started without the lab's command line: what it is, and who stores its run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from adx_lab.load.order import LoadOrder, write_order
from adx_lab.records.run import new_run_id
from adx_lab.settings import read_settings

_STORED_S = 120.0


def own_order(environment: Any, *, plain: bool) -> LoadOrder:
    """Return the order of such a test; ``plain`` where its users are none of the lab's."""
    settings, options = read_settings(), environment.parsed_options
    sample = settings.stack_dir / "sample.json"
    watched = not options.headless or options.run_time
    return LoadOrder(
        raw_dir=str(settings.data_dir / "raw" / new_run_id()),
        scenario=Path(environment.parsed_locustfiles[-1]).stem,
        rate_per_s=getattr(options, "rate", None) or None,  # the page sends an empty field as ""
        users=options.num_users,
        seed=settings.load.seed,
        warmup_s=1.0 if watched else None,
        timeout_s=settings.load.timeout_s,
        sample_file=str(sample) if sample.exists() and not plain else None,
        budget_file=str(settings.budgets_file),
        endless=bool(watched),
        timed=settings.service.timing != "none",
    )


class Companion:
    """The process that stores the run of such a test (`adx_lab.conduct.attended`)."""

    def __init__(self, order: LoadOrder, host: str) -> None:
        raw_dir = Path(order.raw_dir)
        write_order(order, raw_dir / "order.json")
        command = [sys.executable, "-m", "adx_lab.conduct.attended", str(raw_dir), str(os.getpid())]
        # Everybody can read a command line, and a URL may hold a password.
        environ = os.environ | {"LOCUST_HOST": host}
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, env=environ
        )

    def wait(self) -> None:
        """Wait until it has stored the run."""
        try:
            self._process.wait(_STORED_S)
        except subprocess.TimeoutExpired:
            sys.stderr.write("adx-lab: the run is still being stored\n")
