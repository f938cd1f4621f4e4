"""Rows as a stream: NDJSON as it is read, by a cursor of the server's."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from adx_lab.core.monitoring.logs import log
from adx_lab.core.server.http import JSON, NDJSON, Request, Response
from adx_lab.core.server.problems import Problem
from adx_lab.core.server.streams import finish, streamed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adx_lab.core.service import Service

_ROWS_A_CHUNK = 500
_logger = logging.getLogger("adx_lab.core.database.rows")


async def rows_response(service: Service, request: Request, query: str, *args: object) -> Response:
    """Answer with the rows of a query, each one JSON text.

    A stream that breaks off says so in its last line, a problem document: a body that merely ends looks
    whole. With ``json.streaming`` switched off it is one JSON array; with ``async.streaming`` off all rows
    are fetched before the first is sent.
    """
    release = service.streams.admit(request.principal.tenant_id)
    try:
        if service.settings.on("async.streaming"):
            chunks = service.db.stream(query, *args, rows_a_chunk=_ROWS_A_CHUNK, timing=request.timing)
        else:
            chunks = _whole(await service.db.fetch(query, *args, timing=request.timing))
        if not service.settings.on("json.streaming"):
            lines = [row async for rows in chunks for row in rows]
            release()
            return Response(("[" + ",".join(lines) + "]").encode(), 200, [JSON])
    except BaseException:
        release()
        raise
    rest_of = partial(_to_the_end, request=request)
    return await streamed(_lines(chunks), 200, [NDJSON], release, rest_of=rest_of)


async def _lines(chunks: AsyncIterator[list[str]]) -> AsyncIterator[bytes]:
    try:
        async for rows in chunks:
            yield ("\n".join(rows) + "\n").encode()
    finally:
        await finish(chunks)


async def _to_the_end(rest: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    try:
        async for lines in rest:
            yield lines
    except Exception as error:  # noqa: BLE001  # the status is sent already: only the stream itself can tell
        log(_logger, logging.ERROR, "a stream broke off", error=repr(error), request_id=request.request_id)
        broken = Problem(503, "Unavailable", "the stream broke off; what came is not all")
        yield broken.document(request.request_id) + b"\n"
    finally:
        await finish(rest)


async def _whole(rows: list[Any]) -> AsyncIterator[list[str]]:
    if rows:
        yield [row[0] for row in rows]
