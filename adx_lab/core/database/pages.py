"""Lists by page: cursors that cost the same at any depth, and page numbers as the rules have them."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.service import Service

PAGE_SIZE_MAX = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET_MAX = 1 << 62


class PageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which part of a list: after a ``cursor``, or a ``page`` by its number, from 0. At most 100 a page."""

    page_size: Annotated[int, Meta(ge=1, le=2_147_483_647)] = 50
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    page: Annotated[int, Meta(ge=0, le=2_147_483_647)] | None = None


class Lister:
    """The three queries of one list.

    With the rule ``db.pagination`` switched off every page is read by OFFSET, uncapped; cursors then hold
    one.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def read(
        self, service: Service, asked: PageQuery, fixed: Sequence[object], timing: Timing | None
    ) -> bytes:
        """Return a page as JSON; ``fixed`` are the query's arguments before the page size."""
        capped = service.settings.on("db.pagination")
        size = min(asked.page_size, PAGE_SIZE_MAX) if capped else asked.page_size
        offset = _offset(asked, size, by_offset=not capped)
        if offset is not None:
            rows = await service.db.fetch(f"{self._name}.page", *fixed, size, offset, timing=timing)
        elif asked.cursor is not None:
            rows = await service.db.fetch(
                f"{self._name}.after", *fixed, size, *_read_cursor(asked.cursor), timing=timing
            )
        else:
            rows = await service.db.fetch(f"{self._name}.first", *fixed, size, timing=timing)
        return page_json(tuple(rows[0]), size, offset, by_offset=not capped)


def first_page(asked: PageQuery) -> bool:
    """Return whether it is the page that most clients ask for, which is worth keeping."""
    return asked.cursor is None and not asked.page


def _offset(asked: PageQuery, size: int, *, by_offset: bool) -> int | None:
    if asked.page is not None:
        return min(asked.page * size, _OFFSET_MAX)
    if not by_offset:
        return None
    return _read_offset(asked.cursor) if asked.cursor else 0


def page_json(row: Sequence[Any], size: int, offset: int | None = None, *, by_offset: bool = False) -> bytes:
    """Return a page as JSON, with the cursor of the next."""
    items, count, created_at, last_id = row
    following = b"null"
    if count == size:
        text = f"o{(offset or 0) + size}" if by_offset else _cursor(created_at, last_id)
        following = b'"' + base64.urlsafe_b64encode(text.encode()).rstrip(b"=") + b'"'
    page: bytes = b'{"items":' + items.encode() + b',"next_cursor":' + following + b"}"
    return page


def _cursor(created_at: datetime, last_id: object) -> str:
    return f"{(created_at - _EPOCH) // timedelta(microseconds=1)}.{last_id}"


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    micros, _, last_id = _decode(cursor).partition(".")
    try:
        return _EPOCH + timedelta(microseconds=int(micros)), UUID(last_id)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _read_offset(cursor: str) -> int:
    text = _decode(cursor).removeprefix("o")
    if not text.isdecimal():
        raise _bad_cursor()
    return min(int(text), _OFFSET_MAX)


def _decode(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise _bad_cursor() from None


def _bad_cursor() -> Problem:
    return Problem(422, "Invalid value", "not a cursor of this list", field="cursor", where="query")
