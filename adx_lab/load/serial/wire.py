"""One keep-alive HTTP connection, as thin as a client can be: what it costs itself is not the service's."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from adx_lab import clock

__all__ = ["Reply", "Wire"]

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_TIMING = re.compile(rb"\r\nserver-timing:\s*([^\r]*)", re.IGNORECASE)
_CLOSED = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_BODILESS = frozenset((204, 304))
_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``status`` is 0 and ``error`` says why where there was none."""

    sent: float
    ms: float
    status: int
    body: bytes
    timing: str | None = None
    error: str | None = None


class Wire:
    """A connection to one variant; it connects again where the other end has closed it.

    Parameters
    ----------
    base_url
        Scheme, host and port.
    timeout_s
        After which a request has failed.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._address = (parts.hostname or "127.0.0.1", parts.port or (443 if self._secure else 80))
        self._host = parts.netloc
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return a request as it goes over the wire, made before its time is taken."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body

    def ask(self, request: bytes) -> Reply:
        """Send a request and wait for the whole answer."""
        try:
            line = self._connected()
        except OSError as error:
            return Reply(clock.now(), 0.0, 0, b"", error=f"{type(error).__name__}: {error}")
        sent, began = clock.now(), time.perf_counter()
        try:
            line.sendall(request)
            head, body = _read(line)
        except (OSError, ValueError) as error:
            ms = (time.perf_counter() - began) * 1000
            self.close()
            return Reply(sent, ms, 0, b"", error=f"{type(error).__name__}: {error}")
        ms = (time.perf_counter() - began) * 1000
        if _CLOSED.search(head):
            self.close()
        told = _TIMING.search(head)
        status = int(head[9:12])
        return Reply(
            sent,
            ms,
            status,
            body,
            told[1].decode("latin-1") if told else None,
            f"HTTP {status}" if status >= 400 else None,
        )

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            line = socket.create_connection(self._address, self._timeout_s)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                line = ssl.create_default_context().wrap_socket(line, server_hostname=self._address[0])
            self._socket = line
        return self._socket


def _read(line: socket.socket) -> tuple[bytes, bytes]:
    """Return the head and the body of an answer.

    Raises
    ------
    ValueError
        The other end hung up in the middle, or what it said is no HTTP.
    """
    got = bytearray()
    while (end := got.find(b"\r\n\r\n")) < 0:
        _more(line, got)
    head, at = bytes(got[:end]), end + 4
    if int(head[9:12]) in _BODILESS:
        return head, b""
    if _CHUNKED.search(head):
        return head, _chunks(line, got, at)
    length = _LENGTH.search(head)
    if length is None:
        raise ValueError("the answer does not say how long it is")
    whole = at + int(length[1])
    while len(got) < whole:
        _more(line, got)
    return head, bytes(got[at:whole])


def _chunks(line: socket.socket, got: bytearray, at: int) -> bytes:
    pieces: list[bytes] = []
    while True:
        while (end := got.find(b"\r\n", at)) < 0:
            _more(line, got)
        size = int(bytes(got[at:end]).split(b";")[0], 16)
        while len(got) < end + size + 4:
            _more(line, got)
        if size == 0:
            return b"".join(pieces)
        pieces.append(bytes(got[end + 2 : end + 2 + size]))
        at = end + size + 4


def _more(line: socket.socket, got: bytearray) -> None:
    piece = line.recv(_PIECE)
    if not piece:
        raise ValueError("the other end hung up")
    got += piece
