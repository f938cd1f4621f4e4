"""Read the ``Server-Timing`` response header (W3C Server Timing, https://www.w3.org/TR/server-timing/).

The core says ``total;dur=2.1, db;dur=0.8;desc="users.get", cache;desc="l1:permissions", valkey;dur=0.3``. Any
other service that names its parts ``total``, ``db``, ``cache``, ``valkey`` or ``pool`` gets the same split.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_METRIC = re.compile(r'([\w.\-]+)((?:\s*;\s*[\w\-]+(?:\s*=\s*(?:"[^"]*"|[^;,"\s]+))?)*)\s*(?:,|$)')
_DURATION = re.compile(r";\s*dur\s*=\s*\"?(-?[\d.]+(?:[eE][+-]?\d+)?)")
_DESCRIPTION = re.compile(r';\s*desc\s*=\s*(?:"([^"]*)"|([^;,"\s]+))')
_TOTALS = frozenset(
    ("total", "app", "process_action.action_controller", "timerpanel_total", "mp-root", "request", "action")
)
"""What frameworks call all of a request: many; Rails; Django's debug toolbar; MiniProfiler in ASP.NET."""

_DATABASES = frozenset(("db", "sql", "sql.active_record", "sqlpanel_sql_time", "database", "ef", "mysql"))
"""What they call their database's share of it."""

_DEPTH = {"none": 0, "l1": 1, "l2": 2, "miss": 3}


@dataclass(frozen=True, slots=True)
class ServerSplit:
    """Where one request's time went, as the service told it; NaN where it did not say."""

    server_ms: float
    db_ms: float
    valkey_ms: float
    pool_ms: float
    cache: str
    queries: tuple[tuple[str, float], ...]


TRACE = "trace:"
"""Before the id of a trace, where a request was sent with one."""

NOTHING = ServerSplit(math.nan, math.nan, math.nan, math.nan, "none", ())


def parse(header: str | None) -> ServerSplit:
    """Take one header's value apart.

    Unknown metrics are passed over, as the standard asks. A cache's layer stands before a colon in its
    description; the deepest layer asked is kept.
    """
    if not header:
        return NOTHING
    total_ms = math.nan
    valkey_ms = pool_ms = unnamed_ms = 0.0
    cache = "none"
    queries: list[tuple[str, float]] = []
    for name, parameters in _METRIC.findall(header):
        found = _DURATION.search(parameters)
        ms = float(found[1]) if found else 0.0
        told = _description(parameters)
        if name.lower() in _TOTALS:
            total_ms = ms
        elif name == "db" and told:
            queries.append((told, ms))
        elif name.lower() in _DATABASES:
            # Without a name it is what all of a request's queries took, and no query.
            unnamed_ms += ms
        elif name == "cache":
            layer = (told or "none").split(":")[0]
            if _DEPTH.get(layer, 0) > _DEPTH[cache]:
                cache = layer
        elif name == "valkey":
            valkey_ms += ms
        elif name == "pool":
            pool_ms += ms
    db_ms = unnamed_ms + sum(ms for _, ms in queries)
    return ServerSplit(total_ms, db_ms, valkey_ms, pool_ms, cache, tuple(queries))


def _description(parameters: str) -> str | None:
    found = _DESCRIPTION.search(parameters)
    return (found[1] or found[2]) if found else None
