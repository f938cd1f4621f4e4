"""Caches that never get warm: every request changes a user, which empties its entries in both layers."""

from adx_lab.load.users import OpenLoopUser


class ColdCache(OpenLoopUser):
    """The answer holds the user as it is now, so that each change also fills what it emptied."""

    rate_per_s = 100.0
    warmup_s = 0.0
    mix = {"PATCH /users/{id}": 1}  # noqa: RUF012
