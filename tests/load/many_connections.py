"""What one client does with a connection whose file is the two-thousandth: run by `test_connections`.

A program of its own, since Locust replaces much of the standard library. It prints how many connections four
requests took: three of them one after the other, and one after the server has silently hung up.
"""

from __future__ import annotations

import os
from typing import Any

from gevent.server import StreamServer
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from adx_lab.load.process.connections import mend_connections

FILES = 2_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main() -> None:
    taken: list[Any] = []

    def serve(connection: Any, address: Any) -> None:
        taken.append(address)
        for _ in range(3):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                received = connection.recv(4096)
                if not received:
                    return
                head += received
            connection.sendall(ANSWER)

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    mend_connections()
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(FILES)]
    event: Any = EventHook  # it says nothing of its types
    session = FastHttpSession(f"http://127.0.0.1:{server.server_port}", event(), user=None, concurrency=1)
    answers = [session.get("/").text for _ in range(3)]
    before = len(taken)
    answers.append(session.get("/").text)
    print(answers, before, len(taken) - before, held[-1] > 1_023)


if __name__ == "__main__":
    main()
