"""Named queries from ``.sql`` files.

A file holds any number of queries, each headed by comment lines::

    -- name: users.get
    -- One user of a tenant, as JSON.
    -- params: tenant_id=$tenant, user_id=$user
    SELECT ... WHERE tenant_id = $1 AND id = $2;

``params`` names the arguments in order, each with a placeholder that says what a sample argument looks like,
so that a tool can explain the query with real ones. The vocabulary is closed (`PLACEHOLDERS`): ``$tenant``,
``$user``, ``$email``, ``$file``, ``$session`` and ``$run`` are ids (or the e-mail address) of existing rows
of one tenant; ``$cursor_created_at`` and ``$cursor_id`` the place in a list; ``$now`` a time stamp;
``$limit`` and
``$offset`` a page; ``$text``, ``$bool``, ``$int``, ``$json``, ``$bytes``, ``$uuid``, ``$texts`` and
``$uuids`` any value of that type. ``-- writes: yes`` marks what must be explained in a transaction that is
rolled back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDERS = frozenset({
    "$tenant", "$user", "$email", "$file", "$session", "$run", "$cursor_created_at", "$cursor_id", "$now",
    "$limit", "$offset", "$text", "$bool", "$int", "$json", "$bytes", "$uuid", "$texts", "$uuids",
})  # fmt: skip
_HEADER = re.compile(r"^-- name: *(\S+) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One named query: ``params`` are (name, placeholder) in the order of ``$1``, ``$2``, …."""

    name: str
    description: str
    sql: str
    params: tuple[tuple[str, str], ...]
    writes: bool


def load_queries(folder: Path) -> dict[str, Query]:
    """Load every query of a folder's ``.sql`` files, by name.

    Raises
    ------
    ValueError
        A name occurs twice, or a query is malformed.
    """
    queries: dict[str, Query] = {}
    for path in sorted(folder.glob("*.sql")):
        pieces = _HEADER.split(path.read_text(encoding="utf-8"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in queries:
                raise ValueError(f"{path.name}: two queries are called {name}")
            queries[name] = _parse(path.name, name, text)
    return queries


def _parse(file: str, name: str, text: str) -> Query:
    comments: list[str] = []
    lines = text.strip().splitlines()
    while lines and lines[0].startswith("--"):
        comments.append(lines.pop(0).removeprefix("--").strip())
    headers = dict(line.split(": ", 1) for line in comments if re.match(r"(params|writes): ", line))
    description = " ".join(line for line in comments if not re.match(r"(params|writes): ", line))
    pairs = [pair.strip().split("=") for pair in headers.get("params", "").split(",") if pair.strip()]
    sql = "\n".join(lines).strip().rstrip(";")
    used = {int(number) for number in re.findall(r"\$(\d+)", sql)}
    if not sql or any(len(pair) != 2 or pair[1] not in PLACEHOLDERS for pair in pairs):
        raise ValueError(f"{file}: {name} has no statement, or a malformed params line")
    if used != set(range(1, len(pairs) + 1)):
        raise ValueError(f"{file}: {name} uses ${max(used, default=0)} but names {len(pairs)} params")
    params = tuple((key, placeholder) for key, placeholder in pairs)
    return Query(name, description, sql, params, headers.get("writes") == "yes")
