"""What recording costs Locust: ``python -m adx_lab.load.bench``.

Fifty users ask a bare server on this machine as fast as Locust can, so that Locust's one core is the limit.
Twice a second the recorder is taken away, or put back; what Locust manages with it, over what it manages
without it, is its cost. The two take turns within one process, since nothing else makes them comparable.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

_USERS = 50
_SETTLE_S = 0.2
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b'Server-Timing: total;dur=0.412, db;dur=0.207;desc="users.get", cache;desc="l1:permissions"\r\n\r\n{}'
)


class _Answering(asyncio.Protocol):
    """Answers every request with the same few bytes."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER * data.count(b"\r\n\r\n"))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def compare(url: str, folder: Path, *, turns: int, turn_s: float) -> dict[str, float]:
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
    from locust import FastHttpUser, task  # noqa: PLC0415
    from locust.env import Environment  # noqa: PLC0415

    from adx_lab.load.process.connections import mend_connections  # noqa: PLC0415
    from adx_lab.load.recording.recorder import Recorder  # noqa: PLC0415
    from adx_lab.load.recording.rows import FileSink  # noqa: PLC0415

    class Asking(FastHttpUser):
        host = url

        @task
        def ask(self) -> None:
            self.client.get(
                "/users", name="GET /users", context={"adx_endpoint": "GET /users", "adx_group": "users"}
            )

    mend_connections()
    environment: Any = Environment(user_classes=[Asking])
    runner = environment.create_local_runner()
    recorder = Recorder(FileSink(folder, "worker-bench"), "head")
    runner.start(_USERS, _USERS)
    # What happens once (connections, the first batch that Arrow makes) is nobody's cost.
    environment.events.request.add_listener(recorder.on_request)
    gevent.sleep(1)
    recorder.flush()
    environment.events.request.remove_listener(recorder.on_request)
    gc.collect()
    gc.freeze()  # as a session does when a load begins
    rates: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(turns):
        # with, without, without, with: a drift of the machine's hits both alike
        recording = turn % 4 in {0, 3}
        if recording:
            environment.events.request.add_listener(recorder.on_request)
        gevent.sleep(_SETTLE_S)
        recorder.flush()
        began_s, before = time.process_time(), environment.stats.total.num_requests
        gevent.sleep(turn_s)
        if recording:
            recorder.beat()  # what is written down of a turn is written within it
        done = environment.stats.total.num_requests - before
        rates[recording].append(done / (time.process_time() - began_s))
        if recording:
            environment.events.request.remove_listener(recorder.on_request)
    runner.quit()
    recorder.close()
    costs = [1 - used / bare for used, bare in zip(rates[True], rates[False], strict=True)]
    return {
        "recorded_per_s": round(statistics.median(rates[True]), 1),
        "bare_per_s": round(statistics.median(rates[False]), 1),
        "cost": round(statistics.fmean(costs), 4),
        "standard_error": round(statistics.stdev(costs) / len(costs) ** 0.5, 4),
    }


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.load.bench", description=__doc__)
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
            found = compare(url, Path(folder), turns=asked.turns, turn_s=asked.turn_s)
        finally:
            server.kill()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
