"""What recording costs Locust: ``python -m adx_lab.load.bench``.

Fifty users ask a bare server on this machine as fast as Locust can, so that Locust's one core is the limit:
always for the same plain endpoint, or for what a scenario of the core asks (``--scenario mixed``). Twice a
second the recorder is taken away with all that watches Locust for it, or put back; what Locust manages with
it, over what it manages without it, is its cost. The two take turns within one process, since nothing else
makes them comparable.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import itertools
import json
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

import uvloop

_USERS = 50
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
    kinds = [value for value in vars(module).values() if isinstance(value, type) and hasattr(value, "mix")]
    tenant = {"id": "t", "user_count": 9, "users": [{"id": "u", "role": "viewer"}], "file_ids": ["f"]}
    account = Account("u", "token", "token", 600.0, tenant, "whale", {})
    order = LoadOrder(raw_dir="", scenario=scenario)
    set_current(SimpleNamespace(order=order, accounts=[account], pair=None))  # type: ignore[arg-type]
    numbers = itertools.count()

    @task
    def ask(self: Any) -> None:
        self.perform(clock.now(), next(numbers))

    own = next(kind for kind in kinds if not kind.abstract)
    return type(own.__name__, (own,), {"host": url, "fixed_count": 0, "tasks": [ask], "abstract": False})


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.load.bench", description=__doc__)
    parser.add_argument("--scenario", help="one of locustfiles/ that sends a schedule; left out, plain HTTP")
    parser.add_argument("--turns", type=int, default=40, help="a multiple of four")
    parser.add_argument("--turn-s", type=float, default=0.5)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        uvloop.run(_serve())
        return
    command = [sys.executable, "-m", "adx_lab.load.bench", "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            found = compare(
                url, Path(folder), scenario=asked.scenario, turns=asked.turns, turn_s=asked.turn_s
            )
        finally:
            server.kill()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
