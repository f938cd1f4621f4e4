"""The performance rules, each with its switch: the single source that settings, documents and tests read."""

from __future__ import annotations

from difflib import get_close_matches

import msgspec

from adx_lab.core.errors import ConfigError


class Rule(msgspec.Struct, frozen=True):
    """One REQUIRED of the performance rules.

    ``off`` says what the service does with the rule switched off; ``where`` is the module that implements it;
    ``test`` the test that shows the difference.
    """

    id: str
    what: str
    off: str
    where: str
    test: str


RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule(
            "db.indexes",
            "an index for every named query",
            "primary and unique keys only",
            "indexes.sql",
            "db",
        ),
        Rule("db.pagination", "at most 100 a page, cursors", "OFFSET, uncapped", "pages.py", "db"),
        Rule("db.prepared", "statements prepared once a connection", "parsed each time", "database.py", "db"),
        Rule("db.slow_log", "queries above 10 ms logged by name", "silent", "database.py", "db"),
        Rule("pool.config", "100/10 connections, real time-outs", "five connections", "pool.py", "pool"),
        Rule("pool.monitor", "real figures, pressure warned at 80%", "none", "monitor.py", "pool"),
        Rule("cache.l1", "300 s in the process", "skipped", "cache.py", "cache"),
        Rule("cache.l2", "600 s in Valkey", "skipped", "cache.py", "cache"),
        Rule("cache.invalidation", "every replica within 100 ms", "by time only", "cache.py", "cache"),
        Rule("cache.warming", "hot entries loaded every 15 minutes", "cold", "warming.py", "workflows"),
        Rule("async.bounded", "batches ten at a time", "all at once", "users.py", "users"),
        Rule(
            "async.streaming", "large results by server-side cursor", "fetched whole", "streams.py", "streams"
        ),
        Rule("json.streaming", "NDJSON a chunk at a time", "one JSON document", "streams.py", "streams"),
        Rule("files.chunked", "files in chunks, constant memory", "read whole", "files.py", "files"),
        Rule("metrics.http", "latency by method, route, status", "none", "app.py", "metrics"),
        Rule("metrics.db", "latency and errors by query", "none", "database.py", "metrics"),
        Rule("metrics.memory", "memory of every worker", "none", "monitor.py", "metrics"),
        Rule("alerts.thresholds", "p95, memory, errors over a window", "none", "alerts.py", "alerts"),
    )
}


def parse_rules_off(text: str) -> frozenset[str]:
    """Read a comma-separated list of rule ids.

    Raises
    ------
    ConfigError
        An id is unknown; the message names the nearest one.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in RULES:
            nearest = get_close_matches(name, RULES, n=1, cutoff=0.0)
            raise ConfigError(f"ADX_CORE_RULES_OFF: no rule is called {name!r}; did you mean {nearest[0]!r}?")
    return frozenset(names)
