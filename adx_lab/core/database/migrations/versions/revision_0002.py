"""An idempotency key belongs to the user that chose it."""

from __future__ import annotations

from adx_lab.core.database.migrations import execute

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change what is unique."""
    execute("0002_idempotency_by_user.sql")
