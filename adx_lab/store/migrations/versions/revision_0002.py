"""A run's row says of which service it is, where, and what was compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; a store of before there were revisions may have them."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("runs")}
    for column in (
        sa.Column("service", sa.String(128)),
        sa.Column("environment", sa.String(64)),
        sa.Column("variants", sa.Text),
    ):
        if column.name not in there:
            op.add_column("runs", column)
