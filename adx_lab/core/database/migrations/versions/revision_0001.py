"""The tables."""

from __future__ import annotations

from adx_lab.core.database.migrations import execute

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    execute("0001_tables.sql")
