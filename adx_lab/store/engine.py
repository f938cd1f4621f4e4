"""Where the store's tables lie: opened, guarded and let go of in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from adx_lab.errors import StoreError, UsageError


class StoreDatabase:
    """The database at a SQLAlchemy URL, with the tables of ``metadata`` made where they are missing.

    Raises
    ------
    UsageError
        The URL is no database's, or its driver is not installed.
    StoreError
        The store can't be opened.
    """

    def __init__(self, url: str, metadata: sa.MetaData) -> None:
        try:
            self._engine = sa.create_engine(url)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise UsageError(
                f"store.url is not a database URL that can be used: {error}", mend="correct it"
            ) from error
        with self._guarded():
            metadata.create_all(self._engine)

    def close(self) -> None:
        """Let go of the store's connections."""
        self._engine.dispose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            url = self._engine.url.render_as_string(hide_password=True)
            raise StoreError(
                f"the run store {url} refused: {reason}", mend="mend it or set store.url"
            ) from error
