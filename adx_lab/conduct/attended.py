"""Runs of loads that somebody else started: from Locust's web page, or by plain ``locust -f``.

Locust's own process (`adx_lab.load.process.session`) starts one companion a test, as
``python -m adx_lab.conduct.attended RAW_DIR PID``. It captures while the test runs, tells the web
page's tab what only it can see, and stores the run when the test has stopped, even if Locust was killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from adx_lab.capture.sampler import Samples, sampling
from adx_lab.capture.service.metrics import read_metrics
from adx_lab.conduct.nights.pages import page_of
from adx_lab.conduct.run import recorded
from adx_lab.conduct.run.request import LoadRequest
from adx_lab.conduct.run.surroundings import Surroundings, elsewhere
from adx_lab.conduct.sharing import put_up
from adx_lab.errors import AdxLabError
from adx_lab.files import keep_private
from adx_lab.load.collecting.collect import Collected, collect
from adx_lab.load.order import read_order
from adx_lab.load.web.vitals import write_stored, write_vitals
from adx_lab.progress import Silent
from adx_lab.secrecy import remember_url, scrub
from adx_lab.services.stack_state import read_state
from adx_lab.settings import Settings, read_settings

_EVERY_S = 0.5
_CLOSING_S = 15.0


async def attend(settings: Settings, raw_dir: Path, url: str, locust_pid: int) -> str:
    """Capture beside a test that runs, store it when it has stopped, and return the run's id.

    Raises
    ------
    MeasurementError
        It recorded nothing.
    """
    order = read_order(raw_dir / "order.json")
    assert order is not None
    request = LoadRequest(order.scenario, Path(f"{order.scenario}.py"), url=url.rstrip("/"))
    around = await _surroundings(settings, request)

    async def drive(*given: Any, connection: Any) -> tuple[Collected, Samples]:
        roots = dict(around.processes) | {"locust": [locust_pid]}
        run_dir: Path = given[3]
        async with sampling(lambda: roots, around.target.metrics_url, connection, tls=around.tls) as seen:
            await _until_stopped(raw_dir, locust_pid, around, seen)
        collected = await asyncio.to_thread(collect, raw_dir, run_dir)
        return collected, seen.shifted(collected.began)

    run = await recorded.record_load(settings, around, request, Silent(), drive=drive)
    recorded.keep(settings, run)
    await page_of(settings, run, Silent())
    write_stored(raw_dir, run.record.run_id)
    await put_up(settings, _Aloud())
    return run.record.run_id


class _Aloud(Silent):
    """Says what happens behind the page."""

    def step(self, text: str) -> None:
        sys.stderr.write(f"adx-lab: {scrub(text)}\n")


async def _surroundings(settings: Settings, request: LoadRequest) -> Surroundings:
    """Return the stack that is up, where the load goes to it; otherwise somebody else's service."""
    state = read_state(settings)
    if state is not None and state.base_url == request.url:
        return Surroundings.of_stack(state)
    return await elsewhere(settings, request)


async def _until_stopped(raw_dir: Path, locust_pid: int, around: Surroundings, seen: Samples) -> None:
    gone_since: float | None = None
    while not _stopped(raw_dir):
        if not psutil.pid_exists(locust_pid):
            # A killed Locust says no goodbye; workers of other machines may still be heard of for a moment.
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > _EVERY_S:
                return
        metrics_url = around.target.metrics_url
        read = partial(read_metrics, str(metrics_url), tls=around.tls)
        page = await asyncio.to_thread(read) if metrics_url else []
        write_vitals(raw_dir, seen.cache, seen.resources, {item.name: item.value for item in page})
        await asyncio.sleep(_EVERY_S)


def _stopped(raw_dir: Path) -> bool:
    ends = [path for path in raw_dir.glob("*.jsonl") if '"closed": true' in path.read_text(encoding="utf-8")]
    whole = list(raw_dir.glob("*.jsonl"))
    return bool(whole) and len(ends) == len(whole)


def main(raw_dir: Path, url: str, locust_pid: int) -> int:
    """Attend one test, say which run it became, and remove its raw record."""
    keep_private()
    settings = read_settings()
    remember_url(url)
    try:
        run_id = asyncio.run(attend(settings, raw_dir, url, locust_pid))
    except AdxLabError as error:
        sys.stderr.write(f"adx-lab: the test was not stored: {error}\n")
        return error.exit_code
    finally:
        shutil.rmtree(raw_dir, ignore_errors=True)
    sys.stderr.write(f"adx-lab: stored as run {run_id}; see it with adx-lab runs show {run_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), os.environ["LOCUST_HOST"], int(sys.argv[2])))
