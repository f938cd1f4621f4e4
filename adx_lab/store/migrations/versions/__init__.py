"""One file a revision, which Alembic finds by itself."""
