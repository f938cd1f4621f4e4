"""The run store's tables: runs, trials of a calibration, what the rules were measured to be worth."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("scenario", sa.String(128), nullable=False),
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("commit_id", sa.String(64)),
    sa.Column("status", sa.String(16)),
    sa.Column("figures", sa.Text, nullable=False),  # JSON: name to number
    sa.Column("service", sa.String(128)),  # null in rows that are older than the word
    sa.Column("environment", sa.String(64)),
    sa.Column("variants", sa.Text),  # JSON: their words; null in rows that are older than the column
)

TRIALS = sa.Table(
    "trials",
    METADATA,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("machine", sa.String(16), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("effect", sa.Float),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("found", sa.Boolean, nullable=False),
    sa.Column("cause", sa.String(64)),
    sa.Column("cause_right", sa.Boolean),
    sa.Column("smallest_seen", sa.Float),
    sa.Column("blocks", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)

RULE_COSTS = sa.Table(
    "rule_costs",
    METADATA,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("rule", sa.String(64), primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("machine", sa.String(16), nullable=False),
    sa.Column("commit_id", sa.String(64)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # JSON: the whole of RuleCost
)

JOURNALS = sa.Table(
    "journals",
    METADATA,
    sa.Column("journal", sa.String(64), primary_key=True),
    sa.Column("read_bytes", sa.BigInteger, nullable=False),  # how far it is in the tables above
)

KEPT = (RUNS, TRIALS, RULE_COSTS)
"""Those that a journal keeps."""
