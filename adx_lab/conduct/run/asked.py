"""Which statements each endpoint asks for: one user, one request at a time, the database read in between.

Works for any service and any plain locustfile, without instrumentation: what ``pg_stat_statements`` counted
between two requests belongs to the request in between. What a service does after its answer counts for the
next one; over many requests that is little.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adx_lab.capture.database.statements import connected, is_asked, normal, read_statements
from adx_lab.load.order import HEADERS_VARIABLE, SINGLE_VARIABLE
from adx_lab.load.starting.headless import one_user_words, with_trust
from adx_lab.processes import start_child, stop_child
from adx_lab.progress import Progress
from adx_lab.records.endpoint_names import without_values

_SECONDS = 6.0
_REQUESTS_MAX = 400
_STARTING_S = 30.0
_PLUGIN = Path(__file__).resolve().parents[2] / "load" / "given" / "single.py"
_COUNTERS = ("calls", "total_ms", "pages")


@dataclass(frozen=True, slots=True)
class AskOrder:
    """One pass: which file, against which URL, with which options of the file's own."""

    locustfile: Path
    base_url: str
    database_url: str
    log: Path
    seed: int = 1
    words: tuple[str, ...] = ()
    trust: Mapping[str, str | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    joined: bool = False
    """Whether endpoints go by their names in a duet."""


async def ask_each(order: AskOrder, progress: Progress, *, seconds: float = _SECONDS) -> dict[str, Any]:
    """Return by endpoint how many requests were made, and by statement calls, ms and pages a request.

    Raises
    ------
    StackError
        The database can't be read.
    """
    progress.step("asking one request at a time, to see which statements each endpoint asks for")
    told_read, told_write = os.pipe()
    go_read, go_write = os.pipe()
    environ = {**with_trust(os.environ, order.trust), SINGLE_VARIABLE: f"{told_write},{go_read}",
               HEADERS_VARIABLE: json.dumps(dict(order.headers)),
               "ADX_LOAD_SEED": str(order.seed), "PYTHONUNBUFFERED": "1",
               "LOCUST_HOST": order.base_url}  # fmt: skip
    command = one_user_words(_PLUGIN, order.locustfile, order.words)
    child = start_child("locust", command, log=order.log, environ=environ, pass_fds=(told_write, go_read))
    os.close(told_write)
    os.close(go_read)
    try:
        async with connected(order.database_url) as connection:
            return await _listen(connection, told_read, go_write, seconds, joined=order.joined)
    finally:
        await stop_child(child, grace_s=3)
        os.close(told_read)
        os.close(go_write)


async def _listen(connection: Any, told: int, go_on: int, seconds: float, *, joined: bool) -> dict[str, Any]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(told), "rb")
    )
    sums: dict[str, dict[str, dict[str, float]]] = defaultdict(
        lambda: defaultdict(lambda: dict.fromkeys(_COUNTERS, 0.0))
    )
    requests: dict[str, int] = defaultdict(int)
    before = await read_statements(connection)
    ends, limit_s = loop.time() + _STARTING_S, seconds
    try:
        while sum(requests.values()) < _REQUESTS_MAX:
            try:
                line = await asyncio.wait_for(reader.readline(), max(0.01, ends - loop.time()))
            except TimeoutError:
                break
            if not line:
                break
            if not requests:
                ends = loop.time() + limit_s
            asked = json.loads(line)
            after = await read_statements(connection)
            # Of the first request of all nobody knows what went before: a start, logins, connections.
            if not asked["failed"]:
                endpoint = without_values(asked["endpoint"]) if joined else asked["endpoint"]
                requests[endpoint] += 1
                _add(sums[endpoint], before, after)
            before = after
            os.write(go_on, b".")
    finally:
        pipe.close()
    return {
        endpoint: {
            "requests": count,
            "statements": {
                text: {name: value / count for name, value in counted.items()}
                for text, counted in sums[endpoint].items()
            },
        }
        for endpoint, count in requests.items()
    }


def _nothing_yet() -> dict[str, dict[str, float]]:
    return defaultdict(lambda: dict.fromkeys(_COUNTERS, 0.0))


def _add(sums: dict[str, dict[str, float]], before: Mapping[int, Any], after: Mapping[int, Any]) -> None:
    for queryid, now in after.items():
        then = before.get(queryid, {})
        calls = float(now["calls"]) - float(then.get("calls", 0))
        text = normal(now["text"])
        if calls <= 0 or not is_asked(text):
            continue
        counted = sums[text]
        counted["calls"] += calls
        counted["total_ms"] += float(now["total_ms"]) - float(then.get("total_ms", 0))
        for name in ("shared_hit", "shared_read"):
            counted["pages"] += float(now[name]) - float(then.get(name, 0))
