"""Alembic's hook: it is told to work on the connection, and in the transaction, of whoever calls it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
