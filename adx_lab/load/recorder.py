"""Write down every request that Locust makes, at full resolution.

Locust's own statistics round to a millisecond and forget each request; a verdict can't stand on them. Here
every request is one row. Rows gather in memory for a second and are then appended to one Arrow stream a
process, so that memory stays bounded and a killed Locust loses its last second at the most. The
``Server-Timing`` header is kept as it came: taking it apart would cost the load generator time, and can wait.

Importing this module inside Locust registers it, once.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import IO, Any

import gevent
import psutil
import pyarrow as pa
from locust import events

from adx_lab.load.raw import RAW_SCHEMA
from adx_lab.load.spec import LoadSpec, read_spec

FLUSH_EVERY_S = 1.0


class Recorder:
    """The record of one Locust process.

    Parameters
    ----------
    spec
        The load that this process is a part of.
    """

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._rows: list[tuple[Any, ...]] = []
        self._process = psutil.Process()
        base = Path(spec.raw_dir) / f"worker-{os.getpid()}"
        self._sink = pa.OSFile(str(base.with_suffix(".arrows")), "wb")
        self._writer = pa.ipc.new_stream(self._sink, RAW_SCHEMA)
        self._beats: IO[str] = base.with_suffix(".jsonl").open("w", encoding="utf-8")
        self._requests = 0
        self._closed = False
        self.pending = 0
        """Arrivals that are due and not yet answered, told by whoever schedules them."""

    def on_request(
        self,
        request_type: str,
        name: str,
        response_time: float,
        response_length: int,
        *,
        response: Any = None,
        context: dict[str, Any] | None = None,
        exception: BaseException | None = None,
        start_time: float = 0.0,
        **_: Any,
    ) -> None:
        """Keep one finished request (Locust's ``request`` event)."""
        told = context or {}
        headers = getattr(response, "headers", None)
        self._rows.append(
            (
                told.get("intended", start_time),
                start_time,
                response_time,
                told.get("endpoint") or f"{request_type} {name}",
                told.get("group", "other"),
                told.get("tenant"),
                getattr(response, "status_code", 0) or 0,
                response_length or 0,
                told.get("variant", self._spec.variant),
                told.get("pair", -1),
                headers.get("Server-Timing") if headers else None,
                None if exception is None else _short(exception),
            )
        )

    def beat(self) -> None:
        """Append what has gathered, and a line on how this process itself is doing."""
        rows, self._rows = self._rows, []
        if rows:
            columns = [
                pa.array(column, type=field.type)
                for column, field in zip(zip(*rows, strict=True), RAW_SCHEMA, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=RAW_SCHEMA))
            self._requests += len(rows)
        cpu = self._process.cpu_times()
        self.tell(
            requests=self._requests,
            pending=self.pending,
            cpu_s=cpu.user + cpu.system,
            rss_mb=self._process.memory_info().rss / 2**20,
        )

    def tell(self, **facts: Any) -> None:
        """Append a line of facts for the lab."""
        self._beats.write(json.dumps({"t": time.time(), **facts}) + "\n")
        self._beats.flush()

    def close(self) -> None:
        """Append the rest and end the stream."""
        if not self._closed:
            self._closed = True
            self.beat()
            self._writer.close()
            self._sink.close()
            self._beats.close()

    def beat_until_closed(self) -> None:
        """Beat every second; runs as a greenlet beside the users."""
        while not self._closed:
            due = time.time() + FLUSH_EVERY_S
            gevent.sleep(FLUSH_EVERY_S)
            if not self._closed:
                self.tell(loop_lag_ms=(time.time() - due) * 1000)
                self.beat()


def _short(exception: BaseException) -> str:
    return f"{type(exception).__name__}: {exception}"[:200]


def current() -> Recorder | None:
    """Return this process's recorder, where it records."""
    return _registered[0] if _registered else None


_registered: list[Recorder] = []


def _register() -> None:
    spec = read_spec()
    if spec is None:
        return

    def start(environment: Any, **_: Any) -> None:
        if type(environment.runner).__name__ == "MasterRunner":
            return  # it sends nothing itself
        recorder = Recorder(spec)
        _registered.append(recorder)
        environment.events.request.add_listener(recorder.on_request)
        # Users that know better (a schedule that begins after its logins) tell again; the latest counts.
        environment.events.test_start.add_listener(
            lambda **_: recorder.tell(began=time.time() + spec.warmup_s)
        )
        environment.events.quitting.add_listener(lambda **_: recorder.close())
        gevent.spawn(recorder.beat_until_closed)

    events.init.add_listener(start)


_register()
