"""Exports: a whole tenant's users, and stretches of its events, as streams."""

from adx_lab.load.users import OpenLoopUser


class Export(OpenLoopUser):
    """Few and long: the service bounds how many streams it sends at once."""

    rate_per_s = 4.0
    mix = {"GET /users/export": 1, "GET /events": 2}  # noqa: RUF012
