"""Where the contents of files are: a folder, or an object store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import LocalStore, from_url

from adx_lab.core.files.blobs import blob_bytes
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 1 << 18
_DEFAULT_FOLDER = "adx-files"
_SAMPLES = "samples/"


class FileStore:
    """Contents by name, in a folder or wherever an ``obstore`` URL points."""

    def __init__(self, url: str) -> None:
        if "://" in url and not url.startswith("file://"):
            self._store: Any = from_url(url)
        else:
            folder = Path(url.removeprefix("file://") or _DEFAULT_FOLDER)
            self._store = LocalStore(folder, mkdir=True)

    async def put(self, blob: str, chunks: AsyncIterator[bytes]) -> None:
        """Store what comes, whole or not at all."""
        await obstore.put_async(self._store, blob, chunks, chunk_size=5 << 20, max_concurrency=1)

    async def chunks(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` to before ``end``.

        Raises
        ------
        Problem
            404: the content is gone.
        """
        if start == end:
            return
        try:
            found = await obstore.get_async(self._store, blob, options={"range": (start, end)})
        except FileNotFoundError:
            if not blob.startswith(_SAMPLES):
                raise Problem(404, "Not found", "the content is gone") from None
            # The data set's contents are not shipped with it; they are made when somebody asks.
            await obstore.put_async(self._store, blob, blob_bytes(int(blob.removeprefix(_SAMPLES))))
            found = await obstore.get_async(self._store, blob, options={"range": (start, end)})
        async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    async def delete(self, blob: str) -> None:
        """Remove a content, if it is there; the data set's, which many files share, stay."""
        if not blob.startswith(_SAMPLES):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, blob)
