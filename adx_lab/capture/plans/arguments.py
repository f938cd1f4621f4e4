"""Arguments to explain a query with: real ones of one tenant, or such that no row answers them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adx_lab.sql import Query

_ABSENT = "00000000-0000-4000-8000-000000000000"
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_PAGE_SIZE, _OFFSET = "50", "100"
_FIXED = {
    "$limit": _PAGE_SIZE,
    "$offset": _OFFSET,
    "$text": "sample",
    "$bool": "true",
    "$int": "1",
    "$json": "{}",
    "$texts": "{sample}",
    "$uuid": "00000000-0000-4000-8000-000000000001",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The values of a query's parameters by name, as text, for one kind of tenant."""

    tenant_kind: str
    values: Mapping[str, str]


def arguments_of(query: Query, kind: str, sample: Mapping[str, Any]) -> Arguments:
    """Return arguments for a query.

    Parameters
    ----------
    sample
        ``tenant`` (its id) and rows of it: ``user``, ``file``, ``session``, ``run``, ``period``; each may be
        missing, and an empty sample is a tenant that does not exist.
    """
    by_placeholder = _FIXED | _of_rows(sample)
    period = sample.get("period")
    by_name = {}
    if period is not None and period["since"] is not None:
        by_name = {"since": period["since"].isoformat(), "until": period["until"].isoformat()}
    values = {
        name: by_name.get(name, by_placeholder[placeholder])
        if placeholder == "$now"
        else by_placeholder[placeholder]
        for name, placeholder in query.params
    }
    if "created_at" in values and query.name.startswith("files."):
        values["created_at"] = _stamp(sample.get("file"), "created_at")
    return Arguments(kind, values)


def _of_rows(sample: Mapping[str, Any]) -> dict[str, str]:
    user, session = sample.get("user"), sample.get("session")
    user_id = _field(user, "id")
    token = None if session is None else session["hash"]
    return {
        "$tenant": str(sample.get("tenant") or _ABSENT),
        "$user": user_id,
        "$email": "nobody@example.invalid" if user is None else user["email"],
        "$file": _field(sample.get("file"), "id"),
        "$session": _field(session, "id"),
        "$run": _field(sample.get("run"), "id"),
        "$cursor_created_at": _stamp(user, "created_at"),
        "$cursor_id": user_id,
        "$now": (_moment(user) + timedelta(days=30)).isoformat(),
        "$bytes": rf"\x{bytes(token).hex() if token else '00'}",
        "$uuids": f"{{{user_id}}}",
    }


def _field(row: Any, name: str) -> str:
    return _ABSENT if row is None or row[name] is None else str(row[name])


def _stamp(row: Any, name: str) -> str:
    return _LONG_AGO.isoformat() if row is None else str(row[name].isoformat())


def _moment(row: Any) -> datetime:
    moment = _LONG_AGO if row is None else row["created_at"]
    assert isinstance(moment, datetime)
    return moment
