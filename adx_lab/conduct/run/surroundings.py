"""What a load goes to, and what is known around it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from adx_lab.capture.service.metrics import read_metrics
from adx_lab.capture.spans.receiver import Receiver
from adx_lab.conduct.run.request import LoadRequest
from adx_lab.load.starting.reachable import check_reachable
from adx_lab.progress import Progress
from adx_lab.records.run import Target
from adx_lab.services.attached import postgres_url, processes_of
from adx_lab.services.running import running_stack
from adx_lab.services.stack_state import StackState, read_state
from adx_lab.services.starting.start import expanded, tls_context
from adx_lab.settings import REFERENCE, ServiceSettings, Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The target of a load and what is known around it.

    Attributes
    ----------
    processes
        Ids by role.
    sample_file
        Tells the load whom to log in as.
    server_log
        What the embedded PostgreSQL writes.
    cache_trace
        What the core looks up in its L1.
    deaths
        The list of what died of the stack. None of these is known of somebody else's service.
    receiver
        Of the service's spans, where it tells its times by them.
    tls
        How its certificate is looked at.
    """

    target: Target
    processes: Mapping[str, list[int]]
    sample_file: str | None
    server_log: Path | None = None
    cache_trace: Path | None = None
    deaths: Path | None = None
    receiver: Receiver | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def of_stack(cls, state: StackState) -> Surroundings:
        """Return the surroundings of the reference core."""
        log = Path(state.logs) / "postgres.log" if "postgres" in state.processes else None
        trace = Path(state.cache_trace) if state.cache_trace else None
        deaths = Path(state.logs).parent / "deaths.jsonl"
        people = state.sample_file or None
        return cls(state.target(), state.processes, people, log, trace, deaths)


@asynccontextmanager
async def surroundings(
    settings: Settings, progress: Progress, *, fresh: bool = False
) -> AsyncIterator[Surroundings]:
    """Give the stack that is up, or one that is started for the block and stopped after it."""
    state = None if fresh else read_state(settings)
    if state is not None:
        progress.step(f"using the stack that is up at {state.base_url}")
        yield Surroundings.of_stack(state)
        return
    async with running_stack(settings, progress, fresh=fresh) as stack:
        state = stack.state()
        yield Surroundings.of_stack(state)
        progress.step("stopping the stack")


async def elsewhere(settings: Settings, request: LoadRequest) -> Surroundings:
    """Return somebody else's service as a target; nothing of the stack is started.

    Raises
    ------
    StackError
        Nobody answers at its URL.
    """
    assert request.url is not None
    url = request.url.rstrip("/")
    tls = tls_context(settings.service, url)
    await asyncio.to_thread(partial(check_reachable, url, tls=tls))
    metrics = f"{url}{settings.service.metrics}"
    answers = await asyncio.to_thread(partial(read_metrics, metrics, tls=tls))
    database_url = settings.database.url or settings.service.database.url
    database_url = postgres_url(expanded(database_url)) if database_url else None
    target = Target(url, database_url, settings.valkey.url, metrics if answers else None)
    # What the reference core's project file says of processes is not said of somebody else's service.
    service = ServiceSettings() if settings.is_reference else settings.service
    ours = await asyncio.to_thread(processes_of, service, url, database_url)
    return Surroundings(target, ours, request.sample_file, tls=tls)


def service_name(settings: Settings, request: LoadRequest) -> str:
    """Return whose run it is: the described service's, or that of a URL that nobody described."""
    if request.url is not None and settings.is_reference and request.sample_file is None:
        return urlsplit(request.url).netloc.rpartition("@")[2]  # a password is no part of a name
    return settings.service.name or REFERENCE
