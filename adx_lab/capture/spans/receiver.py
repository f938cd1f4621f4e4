"""Receive OTLP over HTTP on this machine, and lose nothing without saying so.

Exports are kept as they come and read when the load is over: while it lasts a receiver must not take the
processor from what is measured.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import thread_time
from types import TracebackType
from typing import Any

from adx_lab.analysis.spans.spans import Span
from adx_lab.capture.spans.otlp import read_spans
from adx_lab.errors import UsageError

PATH = "/v1/traces"
_PROTOBUF = "application/x-protobuf"
_KEPT_BYTES = 512 * 1024 * 1024
_BODY_MAX = 64 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """The account of a receiver.

    Attributes
    ----------
    exports, kept_bytes
        What came.
    refused, full
        Exports that were no protobuf, or came when no room was left: their spans are lost.
    cpu_s
        What receiving took.
    """

    exports: int = 0
    kept_bytes: int = 0
    refused: int = 0
    full: int = 0
    cpu_s: float = 0.0

    @property
    def lost(self) -> int:
        """Exports whose spans are lost."""
        return self.refused + self.full


class Receiver:
    """Receives spans on 127.0.0.1 for as long as the block runs.

    Parameters
    ----------
    port
        Of 127.0.0.1; 0 finds a free one.
    kept_bytes
        Room for what comes; what does not fit is counted.
    """

    def __init__(self, *, port: int = 0, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bodies: list[tuple[bytes, bool]] = []
        self._lock = threading.Lock()
        self._account: dict[str, float] = {"exports": 0, "bytes": 0, "refused": 0, "full": 0, "cpu_s": 0.0}
        self._server = _server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what was received can still be read."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where exporters send to; they add the path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def environ(self, *, service: str) -> dict[str, str]:
        """Return what makes a service's own OpenTelemetry send here, whatever its language.

        Only requests of which the lab says that it wants their trace are told: what else a service does costs
        nothing.
        """
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_PROPAGATORS": "tracecontext",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_SERVICE_NAME": service,
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_BSP_MAX_QUEUE_SIZE": "65536",
        }

    @property
    def received(self) -> Received:
        """What has come so far."""
        with self._lock:
            told = self._account
            return Received(
                exports=int(told["exports"]),
                kept_bytes=int(told["bytes"]),
                refused=int(told["refused"]),
                full=int(told["full"]),
                cpu_s=told["cpu_s"],
            )

    def spans(self) -> Iterator[Span]:
        """Yield all that has come; an export that can't be read is counted as refused."""
        with self._lock:
            bodies = tuple(self._bodies)
        for one in bodies:
            body, packed = one
            try:
                yield from read_spans(gzip.decompress(body) if packed else body)
            except (ValueError, OSError, EOFError, zlib.error):
                self.note(refused=1)
                with self._lock:
                    self._bodies.remove(one)

    def keep(self, body: bytes, *, packed: bool) -> None:
        """Keep one export, or count it where there is no room."""
        with self._lock:
            if self._account["bytes"] + len(body) > self._kept_bytes:
                self._account["full"] += 1
                return
            self._account["exports"] += 1
            self._account["bytes"] += len(body)
            self._bodies.append((body, packed))

    def note(self, **counts: float) -> None:
        """Count."""
        with self._lock:
            for name, count in counts.items():
                self._account[name] += count


def _server(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        """One exporter's connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the library's name
            """Take one export."""
            began = thread_time()
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _BODY_MAX:
                self.close_connection = True
                self._refuse(413 if length.isdigit() else 411)
                return
            body = self.rfile.read(int(length))
            if self.path != PATH:
                self._answer(404)
            elif self.headers.get_content_type() != _PROTOBUF:
                self._refuse(415)
            else:
                receiver.keep(body, packed=self.headers.get("Content-Encoding", "") == "gzip")
                self._answer(200)
            receiver.note(cpu_s=thread_time() - began)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

        def _refuse(self, status: int) -> None:
            receiver.note(refused=1)
            self._answer(status)

        def _answer(self, status: int) -> None:
            # An empty `ExportTraceServiceResponse` has no bytes.
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()

    class Server(ThreadingHTTPServer):
        """Many exporters at once; none keeps the lab from ending."""

        daemon_threads = True
        block_on_close = False

    try:
        return Server(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(
            f"spans can't be received on port {port} of 127.0.0.1: {error.strerror}",
            mend="give service.otlp_port another number",
        ) from error


_HEADERS: Mapping[str, str] = {"Content-Type": _PROTOBUF, "Content-Length": "0"}
