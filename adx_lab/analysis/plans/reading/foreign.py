"""Plans of other databases, recognised so that they can be named: the lab reads PostgreSQL's."""

from __future__ import annotations

import re

_SIGNS = {
    "CockroachDB": r"(?m)^\s*(?:distribution|vectorized): |estimated row count: |•\s+(?:scan|filter|sort)\b",
    "SQL Server": r"schemas\.microsoft\.com/sqlserver|<ShowPlanXML|<RelOp\b|StmtText\s+StmtId",
    "MariaDB": r'"query_optimization"\s*:|"r_total_time_ms"\s*:|"r_loops"\s*:',
    "MySQL": r'"query_block"\s*:|"query_plan"\s*:|select_type[|\s]+table\b|'
    r"-> (?:[A-Z][\w ]+(?:on|using|:)?)[^\n]*\(cost=[\d.e+]+ rows=[\d.e+]+\)",
    "Oracle": r"Plan hash value:|\|\s*Id\s*\|\s*Operation\s*\|",
    "SQLite": r"(?m)^(?:QUERY PLAN\s*\n)?[|`\s]*-?-?(?:SCAN|SEARCH) \w+(?: USING|\s*$)",
    "MongoDB": r'"winningPlan"\s*:|"queryPlanner"\s*:',
    "ClickHouse": r"(?m)^\s*ReadFromMergeTree\b",
    "DuckDB": r"┌─+┐\s*\n│\s*(?:Physical Plan|EXPLAIN_ANALYZE|HASH_GROUP_BY|PROJECTION|SEQ_SCAN)",
    "Spark": r"== Physical Plan ==",
    "Snowflake": r'"GlobalStats"\s*:\s*\{\s*"partitionsTotal"',
}
_REDSHIFT = re.compile(r"(?m)^[ \t|]*(?:->  )?XN [A-Z][\w ]+\(cost=")


def database_of(text: str) -> str | None:
    """Return the database whose plan a text holds, or None where it is none that is known."""
    beginning = text[:200_000]
    return next((name for name, sign in _SIGNS.items() if re.search(sign, beginning)), None)


def fork_of(text: str) -> str | None:
    """Return the database that prints plans as PostgreSQL does, but of steps of its own; None for others."""
    return "Amazon Redshift" if _REDSHIFT.search(text[:200_000]) else None
