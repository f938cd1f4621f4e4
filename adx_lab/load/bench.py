"""What recording costs Locust: ``python -m adx_lab.load.bench``.

Fifty users ask a bare server on this machine as fast as Locust can, so that Locust's one core is the limit:
always for the same plain endpoint, or for what a scenario of the core asks (``--scenario mixed``). Twice a
second the recorder is taken away with all that watches Locust for it, or put back; what Locust manages with
it, over what it manages without it, is its cost. The two take turns within one process, since nothing else
makes them comparable.

``--crowd 4000`` asks what a user costs instead: so many of the ten thousand's, who think between requests.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import uvloop

_USERS = 50
_FEW = 10
_SPAWN_PER_S = 500
_CROWD_S = 20.0
_SETTLE_S = 0.2
_BODY = b'{"id":"0","next_cursor":null}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b'Server-Timing: total;dur=0.412, db;dur=0.207;desc="users.get", cache;desc="l1:permissions"\r\n\r\n%b'
) % (len(_BODY), _BODY)


class _Answering(asyncio.Protocol):
    """Answers every request with the same few bytes."""

    def connection_made(self, transport: Any) -> None:
        self._transport, self._wanted = transport, 0

    def data_received(self, data: bytes) -> None:
        while data:
            if self._wanted:
                taken = min(self._wanted, len(data))
                self._wanted, data = self._wanted - taken, data[taken:]
                continue
            head, _, data = data.partition(b"\r\n\r\n")
            _, _, length = head.lower().partition(b"content-length: ")
            self._wanted = int(length.partition(b"\r\n")[0] or 0)
            self._transport.write(_ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def compare(url: str, folder: Path, *, scenario: str | None, turns: int, turn_s: float) -> dict[str, Any]:
    """Load a server with and without the recorder, turn and turn about.

    Returns
    -------
    dict
        Requests a second of Locust's processor time with and without it (medians over the turns), and
        ``cost``: the share of Locust's throughput that recording takes, with the standard error over pairs of
        turns. By processor time, since what else the machine does must not decide it.
    """
    # Not above: the server needs nothing of Locust, which changes much of Python when it is imported.
    import gevent  # noqa: PLC0415
    from locust.env import Environment  # noqa: PLC0415

    from adx_lab.load.process.connections import mend_connections  # noqa: PLC0415
    from adx_lab.load.recording.recorder import Recorder  # noqa: PLC0415
    from adx_lab.load.recording.rows import FileSink  # noqa: PLC0415

    mend_connections()
    environment: Any = Environment(user_classes=[_plain(url) if scenario is None else _of(scenario, url)])
    runner = environment.create_local_runner()
    recorder = Recorder(FileSink(folder, "worker-bench"), "head")
    runner.start(_USERS, _USERS)
    # What happens once (connections, the first batch that Arrow makes) is nobody's cost.
    with _recorded(environment, recorder):
        gevent.sleep(1)
        recorder.flush()
    gc.collect()
    gc.freeze()  # as a session does when a load begins
    rates: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(turns):
        # with, without, without, with: a drift of the machine's hits both alike
        recording = turn % 4 in {0, 3}
        with _recorded(environment, recorder if recording else None):
            gevent.sleep(_SETTLE_S)
            recorder.flush()
            began_s, before = time.process_time(), environment.stats.total.num_requests
            gevent.sleep(turn_s)
            if recording:
                recorder.beat()  # what is written down of a turn is written within it
            done = environment.stats.total.num_requests - before
            rates[recording].append(done / (time.process_time() - began_s))
    runner.quit()
    recorder.close()
    costs = [1 - used / bare for used, bare in zip(rates[True], rates[False], strict=True)]
    return {
        "scenario": scenario or "plain",
        "recorded_per_s": round(statistics.median(rates[True]), 1),
        "bare_per_s": round(statistics.median(rates[False]), 1),
        "cost": round(statistics.fmean(costs), 4),
        "standard_error": round(statistics.stdev(costs) / len(costs) ** 0.5, 4),
    }


def crowd(url: str, folder: Path, *, users: int, seconds: float) -> dict[str, Any]:
    """Let a crowd think and ask, recorded, and say what one of it costs the load generator."""
    import gevent  # noqa: PLC0415
    from locust.env import Environment  # noqa: PLC0415

    from adx_lab.load.process.connections import mend_connections  # noqa: PLC0415
    from adx_lab.load.recording.recorder import Recorder  # noqa: PLC0415
    from adx_lab.load.recording.rows import FileSink  # noqa: PLC0415

    mend_connections()
    kind = _of("ten_thousand", url)
    environment: Any = Environment(user_classes=[kind])
    runner = environment.create_local_runner()
    recorder = Recorder(FileSink(folder, "worker-bench"), "head")
    process = psutil.Process()
    with _recorded(environment, recorder):
        gevent.spawn(recorder.beat_until_closed)
        runner.start(_FEW, _FEW)
        gevent.sleep(kind.think_s)
        before_kb, began_s = process.memory_info().rss / 1024, time.process_time()
        runner.start(users, _SPAWN_PER_S)
        while runner.user_count < users:
            gevent.sleep(_SETTLE_S)
        spawned_s = time.process_time() - began_s
        gevent.sleep(2 * kind.think_s)  # until all have asked, and a beat is an ordinary one
        after_kb, began_s = process.memory_info().rss / 1024, time.process_time()
        asked, began = environment.stats.total.num_requests, time.monotonic()
        gevent.sleep(seconds)
        used_s, lasted_s = time.process_time() - began_s, time.monotonic() - began
        requests = environment.stats.total.num_requests - asked
    runner.quit()
    recorder.close()
    return {
        "users": users,
        "think_s": kind.think_s,
        "requests_per_s": round(requests / lasted_s, 1),
        "cpu_share": round(used_s / lasted_s, 3),
        "cpu_us_per_request": round(1e6 * used_s / requests, 1),
        "spawn_cpu_us_per_user": round(1e6 * spawned_s / users, 1),
        "rss_kb_per_user": round((after_kb - before_kb) / (users - _FEW), 1),
    }


@contextmanager
def _recorded(environment: Any, recorder: Any) -> Iterator[None]:
    """Record what Locust does meanwhile, as a load of the lab does; nothing where there is no recorder."""
    if recorder is None:
        yield
        return
    from adx_lab.load.recording import unfinished  # noqa: PLC0415

    environment.events.request._handlers.insert(0, recorder.on_request)  # noqa: SLF001  # as a session does
    unfinished.listen(recorder)
    replaced = unfinished.watch_locust()
    try:
        yield
    finally:
        for owner, name, method in replaced:
            setattr(owner, name, method)
        unfinished.stop_listening()
        environment.events.request.remove_listener(recorder.on_request)


def _plain(url: str) -> type[Any]:
    from locust import FastHttpUser, task  # noqa: PLC0415

    class Plain(FastHttpUser):
        host = url

        @task
        def ask(self) -> None:
            self.client.get("/users", name="GET /users")

    return Plain


def _of(scenario: str, url: str) -> type[Any]:
    """Return users who ask for what a scenario asks for, one thing after another."""
    from locust import task  # noqa: PLC0415

    from adx_lab import clock  # noqa: PLC0415
    from adx_lab.load.order import LoadOrder  # noqa: PLC0415
    from adx_lab.load.people import Account  # noqa: PLC0415
    from adx_lab.load.process.session import set_current  # noqa: PLC0415
    from adx_lab.settings import SHIPPED  # noqa: PLC0415

    spec = importlib.util.spec_from_file_location(scenario, SHIPPED / "locustfiles" / f"{scenario}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kinds: list[Any] = [
        value for value in vars(module).values() if isinstance(value, type) and hasattr(value, "mix")
    ]
    tenant = {"id": "t", "user_count": 9, "users": [{"id": "u", "role": "viewer"}], "file_ids": ["f"]}
    account = Account("u", "token", "token", 600.0, tenant, "whale", {})
    order = LoadOrder(raw_dir="", scenario=scenario)
    prepared = SimpleNamespace(wait=lambda: None)
    alone = {"workers": 1, "index": 0, "in_flight": 0, "ending": False, "prepared": prepared}
    set_current(SimpleNamespace(order=order, accounts=[account], pair=None, **alone))  # type: ignore[arg-type]
    own = next(kind for kind in kinds if not kind.abstract)
    if own.load_kind == "crowd":
        return type(own.__name__, (own,), {"host": url})
    numbers = itertools.count()

    @task
    def ask(self: Any) -> None:
        self.perform(clock.now(), next(numbers))

    asking: type[Any] = type(own.__name__, (own,), {"host": url, "fixed_count": 0})
    asking.tasks = [ask]  # Locust would add those of the scenario itself
    return asking


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.load.bench", description=__doc__)
    parser.add_argument("--scenario", help="one of locustfiles/ that sends a schedule; left out, plain HTTP")
    parser.add_argument("--crowd", type=int, metavar="USERS", help="what a user who thinks costs")
    parser.add_argument("--turns", type=int, default=40, help="a multiple of four")
    parser.add_argument("--turn-s", type=float, default=0.5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        uvloop.run(_serve())
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each user has a connection, at both ends
    command = [sys.executable, "-m", "adx_lab.load.bench", "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            if asked.crowd:
                found = crowd(url, Path(folder), users=asked.crowd, seconds=_CROWD_S)
            else:
                timing = {"turns": asked.turns, "turn_s": asked.turn_s}
                found = compare(url, Path(folder), scenario=asked.scenario, **timing)
        finally:
            server.kill()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
