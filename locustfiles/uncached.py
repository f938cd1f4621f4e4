"""Straight from the database: reads that no cache ever answers."""

from adx_lab.load.users import OpenLoopUser


class Uncached(OpenLoopUser):
    """A list by its index, one row by its key, and a page after a cursor."""

    mix = {"GET /files": 2, "GET /files/{id}": 2, "GET /users (cursor)": 1}  # noqa: RUF012
