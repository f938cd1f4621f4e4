"""The tables as the first journals had them; a store of before there were revisions has some of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make those that are missing."""
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("scenario", sa.String(128), nullable=False),
        sa.Column("started_at", sa.String(40), nullable=False),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("commit_id", sa.String(64)),
        sa.Column("status", sa.String(16)),
        sa.Column("figures", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "trials",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("machine", sa.String(16), nullable=False),
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
        if_not_exists=True,
    )
    op.create_index("ix_trials_machine", "trials", ["machine"], if_not_exists=True)
    op.create_table(
        "rule_costs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("rule", sa.String(64), primary_key=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("machine", sa.String(16), nullable=False),
        sa.Column("commit_id", sa.String(64)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "journals",
        sa.Column("journal", sa.String(64), primary_key=True),
        sa.Column("read_bytes", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
