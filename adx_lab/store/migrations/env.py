"""Alembic's hook: it is told to work on the connection, and in the transaction, of whoever calls it."""

from __future__ import annotations

from alembic import context

from adx_lab.store.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
