"""Requests told as spans, over OTLP: only where ``spans`` is on, and only those whose trace asks for it.

Where they go says the standard's own variable, ``OTEL_EXPORTER_OTLP_ENDPOINT``. A thread packs and sends them
twice a second; what it can't keep up with, or nobody takes, is counted and forgotten.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
import urllib.request
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from adx_lab.core.monitoring.timing import Timing

if TYPE_CHECKING:
    from adx_lab.core.monitoring.metrics import Metrics

_WANTED = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f][13579bdf]").fullmatch
_ENDPOINT, _USUAL = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"
_EVERY_S, _TIMEOUT_S = 0.5, 5.0
_KEPT_MAX, _SENT_MAX = 20_000, 2_000


class Traced(Timing):
    """A request's times, and where in them its queries lie."""

    __slots__ = ("calls", "ended_ns", "name", "parent", "started_ns", "status", "trace")

    def __init__(self, trace: str, parent: str) -> None:
        super().__init__()
        self.trace, self.parent = trace, parent
        self.calls: list[tuple[str, int, int]] = []
        self.started_ns = time.time_ns()
        self.ended_ns, self.name, self.status = 0, "", 0

    def query(self, name: str, ms: float) -> None:
        """Add one execution of a named query, which has just ended."""
        super().query(name, ms)
        ended_ns = time.time_ns()
        self.calls.append((name, ended_ns - int(ms * 1e6), ended_ns))


class Spans:
    """The spans of a worker, from its requests to who receives them."""

    def __init__(self, metrics: Metrics) -> None:
        self._url = f"{os.environ.get(_ENDPOINT, _USUAL).rstrip('/')}/v1/traces"
        self._dropped = metrics.counter("spans_dropped_total")
        self._ended: deque[Traced] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_forever, name="spans", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what is left."""
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    def begin(self, traceparent: str | None) -> Traced | None:
        """Return what a request is told with, where its trace is wanted."""
        found = _WANTED(traceparent or "")
        return None if found is None else Traced(found[1], found[2])

    def end(self, traced: Timing | None, name: str, status: int) -> None:
        """Take a request that was answered, where its trace is wanted."""
        if not isinstance(traced, Traced):
            return
        traced.ended_ns, traced.name, traced.status = time.time_ns(), name, status
        if len(self._ended) >= _KEPT_MAX:
            self._dropped.add()
        else:
            self._ended.append(traced)

    def _send_forever(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._ended:
            batch = [self._ended.popleft() for _ in range(min(_SENT_MAX, len(self._ended)))]
            headers = {"Content-Type": "application/x-protobuf"}
            request = urllib.request.Request(self._url, _packed(batch), headers)
            try:
                urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
            except (OSError, ValueError):
                self._dropped.add(len(batch))


def _packed(batch: list[Traced]) -> bytes:
    told = ExportTraceServiceRequest()
    resource = told.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "adx-core"
    spans = resource.scope_spans.add().spans
    for one in batch:
        trace, root = bytes.fromhex(one.trace), secrets.token_bytes(8)
        server = spans.add(
            trace_id=trace,
            span_id=root,
            parent_span_id=bytes.fromhex(one.parent),
            name=one.name,
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=one.started_ns,
            end_time_unix_nano=one.ended_ns,
        )
        server.attributes.add(key="http.response.status_code").value.int_value = one.status
        # Valkey is asked before the database, and several times: its calls are told as one.
        asked = [("valkey", "valkey", one.started_ns, one.started_ns + int(one.valkey_ms * 1e6))]
        calls = [("postgresql", *call) for call in one.calls]
        for system, name, start_ns, end_ns in (asked if one.valkey_ms > 0 else []) + calls:
            span = spans.add(
                trace_id=trace,
                span_id=secrets.token_bytes(8),
                parent_span_id=root,
                name=name,
                kind=Span.SPAN_KIND_CLIENT,
                start_time_unix_nano=start_ns,
                end_time_unix_nano=end_ns,
            )
            span.attributes.add(key="db.system.name").value.string_value = system
            span.attributes.add(key="db.query.summary").value.string_value = name
    packed: bytes = told.SerializeToString()
    return packed
