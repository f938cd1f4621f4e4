"""A server whose delays are known: ``python truth_server.py FOLDER PARENT``; it ends with its parent.

It writes ``FOLDER/port`` when it listens. Each path is a kind of delay; the client says in ``X-Intended``
when the request should have left, and for each request a line ``kind intended received answered`` goes to
``FOLDER/truth.txt``, clocks as `time.time`. The answer's ``Server-Timing`` says how long it took.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from adx_lab.core.server.processes import die_with_parent

STALL_AT, STALL_S = 400, 1.0
DELAYS: dict[str, Callable[[random.Random], float]] = {
    "fixed": lambda _: 0.1,
    "lognormal": lambda clock: min(1.0, 0.1 * clock.lognormvariate(0, 0.5)),
    "bimodal": lambda clock: 0.4 if clock.random() < 0.1 else 0.08,
    "stall": lambda _: 0.02,
}


class Truth(asyncio.Protocol):
    """One connection; a request has no body here, and ends with an empty line."""

    clock = random.Random(42)
    stalled = 0
    log: list[str]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.answer_later(head.decode(), time.time())

    def answer_later(self, head: str, received: float) -> None:
        request, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        kind = request.split()[1].strip("/")
        if kind == "stall":
            Truth.stalled += 1
            if Truth.stalled == STALL_AT:
                time.sleep(STALL_S)  # the whole process stands still, as in a collection or a checkpoint
        delay = DELAYS[kind](self.clock) if kind in DELAYS else 0.0
        asyncio.get_running_loop().call_later(
            delay, self.answer, kind, headers.get("x-intended", "0"), received
        )

    def answer(self, kind: str, intended: str, received: float) -> None:
        answered = time.time()
        took_ms = (answered - received) * 1000
        text = (
            f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer-Timing: total;dur={took_ms:.3f},"
            f' db;dur={took_ms / 2:.3f};desc="truth"\r\n\r\nok'
        )
        self.transport.write(text.encode())  # type: ignore[attr-defined]
        if kind in DELAYS:
            self.log.append(f"{kind} {intended} {received!r} {answered!r}\n")


async def serve(folder: Path) -> None:
    Truth.log = []
    server = await asyncio.get_running_loop().create_server(Truth, "127.0.0.1", 0)
    (folder / "port.partial").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.partial").rename(folder / "port")
    while True:
        await asyncio.sleep(0.2)
        if Truth.log:
            lines, Truth.log = Truth.log, []
            with (folder / "truth.txt").open("a") as file:
                file.writelines(lines)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[2]))
    asyncio.run(serve(Path(sys.argv[1])))
