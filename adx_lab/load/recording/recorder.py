"""Write down every request that Locust makes, at full resolution.

Locust's own statistics round to a millisecond and forget each request; a verdict can't stand on them. Here
every request is one row. Rows gather in memory for a second and are then handed on (to a file, or to the
master over Locust's own connection), so that memory stays bounded and a killed Locust loses its last second
at the most. The ``Server-Timing`` header is kept as it came: taking it apart would cost the load generator
time, and can wait.

The recorder hears of each request first, and whatever it hears it keeps: a value that does not fit its column
is kept as what can be kept of it, and told. While they gather, rows lie one after another in one flat list,
since a tuple for each would be work for Python's collector of garbage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gevent
import psutil
import pyarrow as pa
from geventhttpclient.header import Headers

from adx_lab import clock
from adx_lab.load.recording.fitting import Misfits, show
from adx_lab.load.recording.rows import RAW_SCHEMA, REQUEST, Row, batch_of, import_all
from adx_lab.load.recording.server_timing import TRACE

FLUSH_EVERY_S = 1.0
_ROWS_AT_ONCE = 20_000
_WIDTH = len(RAW_SCHEMA)
_ERROR_CHARS = 200
_EPOCH_BEGIN_S, _EPOCH_END_S = 1e9, 1e11
"""Between these a start is a moment on the wall clock, in seconds; others are counters of their own."""


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
    timed
        Whether the service's own word on where a request's time went is kept.
    """

    def __init__(
        self, sink: Sink, variant: str, vitals: Callable[[], dict[str, Any]] = dict, *, timed: bool = True
    ) -> None:
        import_all()
        self._sink = sink
        self._timed = timed
        self._vitals = vitals
        self._variant = variant
        self._values: list[Any] = []
        self._process = psutil.Process()
        self._requests = 0
        self._misfits = Misfits()
        self._closed = False
        self.broken: Callable[[Exception], None] = _say_broken
        """Called when something of the record could not be written."""
        self.phases: dict[Any, str] = {}
        """What a greenlet is doing that is no part of its tasks: beginning or ending."""
        self.watchers: list[Callable[[Sequence[Row]], None]] = []
        """Called with each beat's rows."""

    def on_request(
        self,
        request_type: Any,
        name: Any,
        response_time: Any,
        response_length: Any = 0,
        *,
        response: Any = None,
        context: Any = None,
        exception: Any = None,
        start_time: Any = None,
        **_: Any,
    ) -> None:
        """Keep one finished request (Locust's ``request`` event)."""
        # Once a request, in the one core that Locust has: written out, since each call here costs it load.
        try:
            if start_time.__class__ is float and _EPOCH_BEGIN_S < start_time < _EPOCH_END_S:
                sent = start_time
            else:
                sent = _start(start_time, response_time)
            headers = getattr(response, "headers", None) if self._timed else None
            if headers.__class__ is Headers:
                timing = _entry(headers, "server-timing")
                if timing is not None:
                    timing = timing[1] if timing.__class__ is tuple else ", ".join(line[1] for line in timing)
            else:
                timing = headers.get("Server-Timing") if headers else None
            kind = self.phases.get(gevent.getcurrent(), REQUEST) if self.phases else REQUEST
            reason = _reason(exception) if exception else None
            status = getattr(response, "status_code", 0) or 0
            if not context:
                self._values += (
                    sent, sent, response_time, f"{request_type} {name}", "other", None, status,
                    response_length or 0, self._variant, -1, timing, reason, request_type, kind,
                )  # fmt: skip
                return
            if "adx_trace" in context:
                timing = f"{TRACE}{context['adx_trace']}"
            told = context.get
            self._values += (
                told("adx_intended", sent), sent, response_time,
                told("adx_endpoint") or f"{request_type} {name}", told("adx_group", "other"),
                told("adx_tenant"), status, response_length or 0, told("adx_variant", self._variant),
                told("adx_pair", -1), timing, reason, request_type, kind,
            )  # fmt: skip
        except Exception:  # noqa: BLE001  # what others put into an event may raise anything when it is looked at
            self._keep_odd(
                request_type,
                name,
                response_time,
                response_length,
                response=response,
                exception=exception,
                start_time=start_time,
            )

    def keep(
        self,
        kind: str,
        *,
        request_type: str,
        name: str,
        sent: float,
        ms: float | None,
        error: str | None,
        context: Any = None,
        response: Any = None,
    ) -> None:
        """Keep what Locust fires no event for: a request without an answer, something that a task raised."""
        told = context if isinstance(context, dict) else _NOTHING
        self._values += (
            told.get("adx_intended", sent),
            sent,
            ms,
            told.get("adx_endpoint") or name,
            told.get("adx_group", "other"),
            told.get("adx_tenant"),
            getattr(response, "status_code", 0) or 0,
            0,
            told.get("adx_variant", self._variant),
            told.get("adx_pair", -1),
            None,
            error and error[:_ERROR_CHARS],
            request_type,
            kind,
        )

    @property
    def requests(self) -> int:
        """How many rows have been kept so far."""
        return self._requests + len(self._values) // _WIDTH

    def flush(self) -> None:
        """Hand on what has gathered."""
        values, self._values = self._values, []
        for start in range(0, len(values), _ROWS_AT_ONCE * _WIDTH):
            part = values[start : start + _ROWS_AT_ONCE * _WIDTH]
            batch = batch_of(part, self._misfits)
            try:
                self._sink.write(batch)
            except OSError as error:
                self._lose(len(part) // _WIDTH, error)
        self._requests += len(values) // _WIDTH
        if self._misfits:
            misfits, self._misfits = self._misfits, Misfits()
            self.tell(misfits=[[column, words, count] for (column, words), count in misfits.items()])
        if self.watchers and values:
            self._show(values)

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
        if self._closed:
            return
        try:
            self._sink.tell({"t": clock.now(), **facts})
        except OSError as error:
            self.broken(error)

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
            due = clock.now() + FLUSH_EVERY_S
            gevent.sleep(FLUSH_EVERY_S)
            if not self._closed:
                self.tell(loop_lag_ms=(clock.now() - due) * 1000)
                try:
                    self.beat()
                except Exception as error:  # noqa: BLE001  # a beat that ended unseen would take the rest of the run
                    self.tell(beat_failed=show(error))
                    self.broken(error)

    def _keep_odd(
        self,
        request_type: Any,
        name: Any,
        response_time: Any,
        response_length: Any,
        *,
        response: Any,
        exception: Any,
        start_time: Any,
    ) -> None:
        """Keep what can be kept of an event that can't be looked at as others can."""
        sent = _start(start_time, response_time)
        endpoint = f"{show(request_type)} {show(name)}"
        status = _guarded(lambda: response.status_code, 0)
        headers = _guarded(lambda: dict(response.headers), {}) if self._timed else {}
        self._values += (
            *(sent, sent, response_time, endpoint, "other", None, status, response_length),
            *(
                self._variant,
                -1,
                headers.get("Server-Timing"),
                None if exception is None else _reason(exception),
            ),
            *(show(request_type), REQUEST),
        )
        if self._timed and not headers and getattr(response, "headers", None):
            self._misfits["headers", f"of {endpoint}"] += 1

    def _show(self, values: Sequence[Any]) -> None:
        rows = list(zip(*(values[place::_WIDTH] for place in range(_WIDTH)), strict=True))
        for watch in self.watchers:
            try:
                watch(rows)
            except Exception as error:  # noqa: BLE001  # who only looks on must not cost the record
                self.watchers.remove(watch)
                self.tell(watcher_failed=show(error))

    def _lose(self, rows: int, error: OSError) -> None:
        self.tell(lost=rows, reason=str(error))
        self.broken(error)


_NOTHING: dict[str, Any] = {}
_entry: Any = dict.get
"""Of geventhttpclient's headers as they lie there: its own way goes through three calls."""


def _say_broken(error: Exception) -> None:
    sys.stderr.write(f"adx-lab: the record can't be written: {error}\n")


def _start(start_time: Any, response_time: Any) -> float:
    """Return when a request was sent: as long before now as it took, where nobody says on the wall clock."""
    given: float = _guarded(lambda: float(start_time), 0.0)
    if _EPOCH_BEGIN_S < given < _EPOCH_END_S:
        return given
    took_ms: float = _guarded(lambda: float(response_time), 0.0)
    return clock.now() - took_ms / 1000


def _reason(exception: Any) -> str:
    if isinstance(exception, str):
        return exception[:_ERROR_CHARS]
    try:
        return f"{type(exception).__name__}: {exception}"[:_ERROR_CHARS]
    except Exception:  # noqa: BLE001  # an exception's own words may raise as well
        return type(exception).__name__


def _guarded(look: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return look()
    except Exception:  # noqa: BLE001  # see `Recorder.on_request`
        return otherwise
