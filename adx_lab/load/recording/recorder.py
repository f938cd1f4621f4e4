"""Write down every request that Locust makes, at full resolution.

Locust's own statistics round to a millisecond and forget each request; a verdict can't stand on them. Here
every request is one row. Rows gather in memory for a second and are then handed on (to a file, or to the
master over Locust's own connection), so that memory stays bounded and a killed Locust loses its last second
at the most. The ``Server-Timing`` header is kept as it came: taking it apart would cost the load generator
time, and can wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gevent
import psutil
import pyarrow as pa

from adx_lab.load.recording.rows import Row, batch_of
from adx_lab.load.recording.server_timing import TRACE

FLUSH_EVERY_S = 1.0
_ROWS_AT_ONCE = 20_000


class Sink(Protocol):
    """Where a record goes."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append requests."""

    def tell(self, facts: dict[str, Any]) -> None:
        """Append a line of facts."""

    def close(self) -> None:
        """End the record."""


class Recorder:
    """The record of one test in one Locust process.

    Parameters
    ----------
    sink
        Where it goes.
    variant
        What the requests are sent to, where a request does not say so itself.
    vitals
        Asked at every beat for facts about the load.
    """

    def __init__(self, sink: Sink, variant: str, vitals: Callable[[], dict[str, Any]] = dict) -> None:
        self._sink = sink
        self._vitals = vitals
        self._variant = variant
        self._rows: list[Row] = []
        self._process = psutil.Process()
        self._requests = 0
        self._closed = False
        self.watchers: list[Callable[[Sequence[Row]], None]] = []
        """Called with each beat's rows."""

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
                told.get("variant", self._variant),
                told.get("pair", -1),
                _timing(told, headers),
                None if exception is None else _short(exception),
            )
        )

    def flush(self) -> None:
        """Hand on what has gathered."""
        rows, self._rows = self._rows, []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._sink.write(batch_of(rows[start : start + _ROWS_AT_ONCE]))
        self._requests += len(rows)
        for watch in self.watchers:
            watch(rows)

    def beat(self) -> None:
        """Hand on what has gathered, and how this process itself is doing."""
        self.flush()
        cpu = self._process.cpu_times()
        self.tell(
            requests=self._requests,
            cpu_s=cpu.user + cpu.system,
            rss_mb=self._process.memory_info().rss / 2**20,
            **self._vitals(),
        )

    def tell(self, **facts: Any) -> None:
        """Tell the lab something."""
        if not self._closed:
            self._sink.tell({"t": time.time(), **facts})

    def close(self) -> None:
        """Hand on the rest and end the record."""
        if not self._closed:
            self.beat()
            self.tell(closed=True)
            self._closed = True
            self._sink.close()

    def beat_until_closed(self) -> None:
        """Beat every second; runs as a greenlet beside the users."""
        while not self._closed:
            due = time.time() + FLUSH_EVERY_S
            gevent.sleep(FLUSH_EVERY_S)
            if not self._closed:
                self.tell(loop_lag_ms=(time.time() - due) * 1000)
                self.beat()


def _timing(told: dict[str, Any], headers: Any) -> str | None:
    """Return what tells where a request's time went: its trace, or the header as it came."""
    if "trace" in told:
        return f"{TRACE}{told['trace']}"
    return headers.get("Server-Timing") if headers else None


def _short(exception: BaseException) -> str:
    return f"{type(exception).__name__}: {exception}"[:200]
