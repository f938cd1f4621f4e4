"""Deep into long lists: by page number, which costs more the deeper it lies, and by cursor, which doesn't."""

from adx_lab.load.users import OpenLoopUser


class DeepPages(OpenLoopUser):
    """The largest tenant only: nobody else's lists are long."""

    rate_per_s = 100.0
    tenants = frozenset({"whale"})
    accounts = 8
    mix = {"GET /users (page)": 1, "GET /users (cursor)": 1}  # noqa: RUF012
