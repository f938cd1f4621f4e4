"""Requests, responses and problems, as thin over the server's own objects as they can be."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from adx_lab.core.server.problems import Headers, Problem, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adx_lab.core.auth.tokens import Principal
    from adx_lab.core.monitoring.timing import Timing

S = TypeVar("S", bound=msgspec.Struct)

JSON = ("content-type", "application/json")
PROBLEM = ("content-type", "application/problem+json")
NDJSON = ("content-type", "application/x-ndjson")

SECURITY_HEADERS = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]

_FIELDS_MAX = 50
_LENGTH_DIGITS_MAX = 18
_encode = msgspec.json.Encoder().encode


class Body(Protocol):
    """The part of the server's protocol object that a request's body is read from."""

    async def __call__(self) -> bytes:
        """Return the whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it arrives."""


class Response:
    """A response whose body is at hand."""

    __slots__ = ("body", "headers", "security", "status")

    def __init__(self, body: bytes = b"", status: int = 200, headers: Headers | None = None) -> None:
        self.body = body
        self.status = status
        self.headers = [JSON] if headers is None else headers
        self.security = SECURITY_HEADERS


class Stream(Response):
    """A response whose body is made while it is sent; leaving early closes the iterator.

    ``release`` gives its place among the streams back.
    """

    __slots__ = ("chunks", "release")

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        status: int = 200,
        headers: Headers | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(b"", status, headers)
        self.chunks = chunks
        self.release = release


def problem_response(problem: Problem, request_id: str) -> Response:
    """Return a problem as a response."""
    return Response(problem.document(request_id), problem.status, [PROBLEM, *problem.headers])


def reply(value: object, status: int = 200, headers: Headers | None = None) -> Response:
    """Return a value as a JSON response."""
    return Response(_encode(value), status, [JSON, *(headers or [])])


class Request:
    """One request; whatever costs time is read when it is asked for."""

    __slots__ = ("_body", "_read", "account", "args", "body_max", "body_timeout_s", "found", "headers",
                 "method", "path", "peer", "principal", "query_string", "request_id", "timing")  # fmt: skip

    def __init__(self, scope: Any, body: Body) -> None:
        self.method: str = scope.method
        self.path: str = scope.path
        self.query_string: str = scope.query_string
        self.headers = scope.headers
        self.args: tuple[str, ...] = ()
        self.request_id = ""
        self.body_max = 0
        self.body_timeout_s = 0.0
        self.found: Any = None
        self._read: bytes | None = None
        self.timing: Timing | None = None
        self.principal: Principal
        self.account: Any = None
        self._body = body
        self.peer: str = scope.client

    def header(self, name: str) -> str | None:
        """Return a header's value, its name in lower case."""
        value: str | None = self.headers.get(name)
        return value

    def query(self, wanted: type[S]) -> S:
        """Read the query string into a struct.

        Raises
        ------
        Problem
            422, naming the parameter.
        """
        try:
            pairs = parse_qsl(self.query_string, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError:
            raise Problem(
                422, "Invalid value", f"more than {_FIELDS_MAX} parameters", where="query"
            ) from None
        try:
            return msgspec.convert(dict(pairs), wanted, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error, "query") from None

    async def read(self, wanted: type[S]) -> S:
        """Read a JSON body into a struct.

        Raises
        ------
        Problem
            400 (not JSON), 413 (too large), 415 (another type), 422 (a field is wrong).
        """
        content_type = self.header("content-type") or ""
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise Problem(415, "Unsupported media type", "send application/json")
        raw = await self.body()
        try:
            return msgspec.json.decode(raw, type=wanted)
        except msgspec.ValidationError as error:
            raise invalid(error, "body") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(400, "Malformed JSON", str(error)) from None

    async def body(self) -> bytes:
        """Return the whole body, however it is sent.

        Raises
        ------
        Problem
            408 (it does not come) or 413.
        """
        if self._read is None:
            try:
                async with asyncio.timeout(self.body_timeout_s):
                    self._read = await self._whole()
            except TimeoutError:
                raise _too_slow() from None
        return self._read

    async def _whole(self) -> bytes:
        if self.header("content-length") is not None:
            self.check_length()
            return await self._body()
        return b"".join([chunk async for chunk in self.chunks(self.body_timeout_s)])

    async def chunks(self, pause_s: float, bytes_per_s: float = 0.0) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, up to its limit.

        Parameters
        ----------
        pause_s
            How long a client may send nothing.
        bytes_per_s
            How fast it has to be on the whole, with as long a start.

        Raises
        ------
        Problem
            408 or 413.
        """
        self.check_length()
        received, began = 0, monotonic()
        body = aiter(self._body)
        while True:
            try:
                # Not anext() with a default: the server's awaitable is none that it can wrap.
                async with asyncio.timeout(pause_s):
                    chunk = await body.__anext__()
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _too_slow() from None
            received += len(chunk)
            if received > self.body_max:
                raise self._too_large()
            if received < (monotonic() - began - pause_s) * bytes_per_s:
                raise _too_slow()
            yield chunk

    def check_length(self) -> None:
        """Refuse a body that says itself that it is too large, before a byte of it is read."""
        length = self.header("content-length")
        if length is not None and not (
            length.isdecimal() and len(length) <= _LENGTH_DIGITS_MAX and int(length) <= self.body_max
        ):
            raise self._too_large()

    def _too_large(self) -> Problem:
        return Problem(
            413, "Content too large", f"at most {self.body_max} bytes", headers=[("connection", "close")]
        )


def _too_slow() -> Problem:
    return Problem(408, "Request timeout", "the body does not come", headers=[("connection", "close")])
