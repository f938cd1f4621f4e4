"""Files: their content goes through in chunks, whatever its size, to and from a folder or an object store."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta

from adx_lab.core.auth.access import load_text
from adx_lab.core.auth.fields import CONTROL, Id
from adx_lab.core.database.pages import Lister, PageQuery
from adx_lab.core.server.http import JSON, Request, Response
from adx_lab.core.server.ids import checked_id, new_id
from adx_lab.core.server.problems import Headers, Problem
from adx_lab.core.server.streams import streamed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from adx_lab.core.service import Service
    from adx_lab.core.settings import GatewaySettings

_RANGE = re.compile(r"bytes=(\d*)-(\d*)").fullmatch
_RANGE_DIGITS_MAX = 18
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}").fullmatch

_all_files, _owned_files = Lister("files.list"), Lister("files.owned")


class File(msgspec.Struct):
    """A file's description."""

    id: Id
    tenant_id: Id
    owner_id: Id
    name: str
    content_type: str
    size: int
    sha256: str
    created_at: datetime


class FilePage(msgspec.Struct):
    """A page of files."""

    items: list[File]
    next_cursor: str | None


class FileQuery(PageQuery, forbid_unknown_fields=True):
    """Which part of the list, and whose files."""

    owner_id: Id | None = None


class UploadQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What the file is called."""

    name: Annotated[str, Meta(min_length=1, max_length=255, pattern=rf"^[^{CONTROL}/\\]+$(?!\n)")] = "unnamed"


async def upload(service: Service, request: Request) -> Response:
    """Store a file: the body is its content, as it is."""
    if request.header("content-length") is None:
        # A body of unknown length that breaks off can't be told from one that ends.
        raise Problem(411, "Length required", "send Content-Length")
    request.check_length()
    asked = request.query(UploadQuery)
    content_type = (request.header("content-type") or "application/octet-stream").partition(";")[0].strip()
    if not _CONTENT_TYPE(content_type):
        raise Problem(415, "Unsupported media type", "Content-Type is malformed")
    tenant_id, file_id = request.principal.tenant_id, new_id()
    blob = f"{tenant_id}/{file_id}"
    received = _Received(request, service.settings.gateway)
    if service.settings.on("files.chunked"):
        await service.files.put(blob, received.chunks())
    else:
        await service.files.put(blob, _at_once(await _join(received.chunks())))
    try:
        created = await service.db.value(
            "files.add", tenant_id, file_id, request.principal.user_id, asked.name, content_type,
            received.size, received.digest.hexdigest(), blob, timing=request.timing,
        )  # fmt: skip
    except BaseException:
        await service.files.delete(blob)  # nobody could ever find it
        raise
    return Response(created.encode(), 201, [JSON, ("location", f"/api/v1/files/{file_id}")])


async def list_files(service: Service, request: Request) -> Response:
    """List the tenant's files, or one owner's, the newest first."""
    asked = request.query(FileQuery)
    tenant_id = request.principal.tenant_id
    if asked.owner_id is None:
        return Response(await _all_files.read(service, asked, (tenant_id,), request.timing))
    return Response(await _owned_files.read(service, asked, (tenant_id, asked.owner_id), request.timing))


async def get_file(service: Service, request: Request) -> Response:
    """Describe a file."""
    file_id = checked_id(request.args[0])
    body = await load_text(service, "files.get", request.principal.tenant_id, file_id, timing=request.timing)
    if body is None:
        raise Problem(404, "Not found")
    return Response(body)


async def delete_file(service: Service, request: Request) -> Response:
    """Remove a file: its content first, so that a removal that breaks off can be repeated."""
    file_id, tenant_id = checked_id(request.args[0]), request.principal.tenant_id
    blob = await service.db.value("files.locate", tenant_id, file_id, timing=request.timing)
    if blob is None:
        raise Problem(404, "Not found")
    await service.files.delete(blob)
    await service.db.fetch("files.delete", tenant_id, file_id, timing=request.timing)
    return Response(status=204, headers=[])


async def download(service: Service, request: Request) -> Response:
    """Send a file's content, or a range of it."""
    file_id = checked_id(request.args[0])
    rows = await service.db.fetch("files.locate", request.principal.tenant_id, file_id, timing=request.timing)
    if not rows:
        raise Problem(404, "Not found")
    blob, name, content_type, size, sha256 = rows[0]
    etag = f'"{sha256}"'
    headers: Headers = [("etag", etag), ("accept-ranges", "bytes")]
    known = {tag.strip().removeprefix("W/") for tag in (request.header("if-none-match") or "").split(",")}
    if known & {etag, "*"}:
        return Response(status=304, headers=headers)
    start, end, status = _asked_range(request, size, etag)
    if status == 206:
        headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
    headers += [
        ("content-type", content_type),
        ("content-length", str(end - start)),
        ("content-disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}"),
    ]
    if not service.settings.on("files.chunked"):
        return Response(
            await _join(service.files.chunks(blob, start, end)), status, headers[:-2] + headers[-1:]
        )
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    release = service.streams.admit(request.principal.tenant_id)
    # It is begun before the response is, so that a content that is gone is a 404.
    return await streamed(service.files.chunks(blob, start, end), status, headers, release)


class _Received:
    """The chunks of an upload, hashed and counted as they pass."""

    def __init__(self, request: Request, settings: GatewaySettings) -> None:
        self._request = request
        self._pause_s, self._bytes_per_s = settings.stream_timeout_s, settings.upload_bytes_per_s
        self.size = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.chunks(self._pause_s, self._bytes_per_s):
            if chunk:
                self.size += len(chunk)
                self.digest.update(chunk)
                yield chunk
        if self.size != int(self._request.header("content-length") or 0):
            raise Problem(400, "Incomplete", "the body broke off")


def _asked_range(request: Request, size: int, etag: str) -> tuple[int, int, int]:
    """Return the first byte, the one after the last, and the status."""
    match = _RANGE(request.header("range") or "")
    if match is None or request.header("if-range") not in {None, etag}:
        return 0, size, 200
    first, last = match.groups()
    if max(len(first), len(last)) > _RANGE_DIGITS_MAX:
        start = end = size
    elif first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(0, size - int(last or 0)), size
    if start >= end:
        raise Problem(416, "Range not satisfiable", headers=[("content-range", f"bytes */{size}")])
    return start, end, 206


async def _join(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    yield content
