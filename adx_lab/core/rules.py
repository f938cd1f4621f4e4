"""The performance rules, each with its switch: the single source that settings, documents and tests read."""

from __future__ import annotations

from difflib import get_close_matches

import msgspec

from adx_lab.core.errors import ConfigError


class Rule(msgspec.Struct, frozen=True):
    """One REQUIRED of the performance rules.

    ``off`` says what the service does with the rule switched off; ``where`` is the module that implements it;
    ``test`` is the test that shows the difference.
    """

    id: str
    what: str
    off: str
    where: str
    test: str


_TABLE = (
    Rule("db.indexes", "indexes for queries", "unique only",
         "database.schema", "test_rules::test_db_indexes"),
    Rule("db.pagination", "100 a page, cursors", "OFFSET",
         "database.pages", "test_rules::test_db_pagination"),
    Rule("db.prepared", "prepared once", "parsed anew",
         "database.database", "test_rules::test_db_prepared"),
    Rule("db.slow_log", "queries above 10 ms", "silent",
         "database.database", "test_rules::test_db_slow_log"),
    Rule("pool.config", "100/10, time-outs", "only five",
         "database.database", "test_rules::test_pool_config"),
    Rule("pool.monitor", "real figures", "none",
         "monitoring.monitor", "test_rules::test_pool_monitor"),
    Rule("cache.l1", "300 s in process", "skipped", "cache.cache", "test_rules::test_cache_l1"),
    Rule("cache.l2", "600 s in Valkey", "skipped", "cache.cache", "test_rules::test_cache_l2"),
    Rule("cache.invalidation", "everywhere, at once", "by time only",
         "cache.cache", "test_rules::test_cache_invalidation"),
    Rule("cache.warming", "hot ones, 15 min", "cold",
         "workflows.worker", "test_workflows::test_cache_warming"),
    Rule("async.bounded", "ten at a time", "all at once",
         "users.batches", "test_rules::test_async_bounded"),
    Rule("async.streaming", "server-side cursors", "all fetched",
         "database.rows", "test_rules::test_async_streaming"),
    Rule("json.streaming", "NDJSON, as read", "one array",
         "database.rows", "test_rules::test_json_streaming"),
    Rule("files.chunked", "constant memory", "read whole",
         "files.files", "test_rules::test_files_chunked"),
    Rule("metrics.http", "by route and status", "none", "server.app", "test_rules::test_metrics"),
    Rule("metrics.db", "by query and error", "none", "database.database", "test_rules::test_metrics"),
    Rule("metrics.memory", "of every worker", "none", "monitoring.monitor", "test_rules::test_metrics"),
    Rule("alerts.thresholds", "p95, memory, errors", "none",
         "server.main", "test_alerts::test_thresholds"),
)  # fmt: skip
RULES: dict[str, Rule] = {rule.id: rule for rule in _TABLE}


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


def table() -> str:
    """Return the rules as a table of text."""
    rows = [("rule", "what", "switched off", "where", "test")]
    rows += [(rule.id, rule.what, rule.off, rule.where, rule.test) for rule in RULES.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    ruler = tuple("=" * width for width in widths)
    framed = [ruler, rows[0], ruler, *rows[1:], ruler]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in framed)
    return "\n".join(line.rstrip() for line in padded)
