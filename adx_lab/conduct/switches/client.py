"""People of the data set, as probes send them to one variant: over HTTP, with a connection of their own."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from adx_lab.errors import MeasurementError
from adx_lab.load.recording.server_timing import ServerSplit, parse

_API = "/api/v1"
_TIMEOUT_S = 30.0
_SLOW_BYTES = 65_536
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Received:
    """What came back; ``first_byte_ms`` and ``ms`` count from the send, to the body's first and last byte."""

    status: int
    first_byte_ms: float
    ms: float
    size: int
    split: ServerSplit
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass
class Person:
    """Somebody who is logged in.

    Attributes
    ----------
    url
        Of the core, without a path.
    user
        Their id and e-mail address, as the sample has them.
    """

    url: str
    token: str
    tenant: Mapping[str, Any]
    user: Mapping[str, Any]
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def at(self, url: str) -> Person:
        """Return the same person on another connection, of this core or of another replica."""
        return Person(url, self.token, self.tenant, self.user)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        kept: bool = True,
    ) -> Received:
        """Ask for something and read the answer to its end.

        Parameters
        ----------
        body
            Sent as JSON.
        content
            Sent as it is.
        kept
            False where the answer is too large to be worth keeping: it is read and counted.
        """
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        elif content is not None:
            headers["Content-Type"] = "application/octet-stream"
        connection = self._connected()
        try:
            began = time.perf_counter()
            connection.request(method, _API + path, body=content, headers=headers)
            answer = connection.getresponse()
            pieces = [answer.read(1)]
            first = time.perf_counter()
            size = len(pieces[0])
            while piece := answer.read(_CHUNK_BYTES):
                size += len(piece)
                if kept:
                    pieces.append(piece)
            ended = time.perf_counter()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise MeasurementError(
                f"{method} {path} got no answer: {error or type(error).__name__}"
            ) from error
        split = parse(answer.getheader("Server-Timing"))
        return Received(
            answer.status, 1e3 * (first - began), 1e3 * (ended - began), size, split, b"".join(pieces)
        )

    def must(self, method: str, path: str, **more: Any) -> Received:
        """Ask for something that has to succeed.

        Raises
        ------
        MeasurementError
            It did not: then nothing that follows would be a measurement.
        """
        answer = self.ask(method, path, **more)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise MeasurementError(f"{method} {path} was answered with status {answer.status}")
        return answer

    def hang_on(self, path: str) -> socket.socket:
        """Ask for a stream, take its beginning, and nothing more until the socket is closed."""
        parts = urlsplit(self.url)
        stream = socket.socket()
        # A small window: what the client does not take must not vanish into the kernel's buffers.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BYTES)
        stream.settimeout(_TIMEOUT_S)
        try:
            stream.connect((parts.hostname or "", parts.port or 0))
            lines = [
                f"GET {_API}{path} HTTP/1.1",
                f"Host: {parts.netloc}",
                f"Authorization: Bearer {self.token}",
            ]
            stream.sendall("\r\n".join([*lines, "", ""]).encode())
            stream.recv(1)
        except OSError as error:
            stream.close()
            raise MeasurementError(f"GET {path} got no answer: {error}") from error
        return stream

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.url)
            self._connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=_TIMEOUT_S
            )
        return self._connection


def log_in(url: str, sample: Mapping[str, Any], tenant: Mapping[str, Any], user: Mapping[str, Any]) -> Person:
    """Log somebody of the data set in.

    Raises
    ------
    MeasurementError
        The service lets them not in.
    """
    body = {"tenant_id": tenant["id"], "email": user["email"], "password": sample["password"]}
    told = Person(url, "", tenant, user).must("POST", "/auth/login", body=body).json()
    return Person(url, told["access_token"], tenant, user)


def admin(url: str, sample: Mapping[str, Any], *, rank: int = 0) -> Person:
    """Log in an admin of the largest tenant, or of the one of that rank."""
    tenant = sorted(sample["tenants"], key=lambda one: -int(one["user_count"]))[rank]
    return log_in(url, sample, tenant, next(user for user in tenant["users"] if user["role"] == "admin"))
