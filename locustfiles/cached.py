"""What the caches answer: everybody's permissions, people, and their tenant."""

from adx_lab.load.users import OpenLoopUser


class Cached(OpenLoopUser):
    """Reads that a warm L1 answers without the database."""

    mix = {"GET /auth/me": 6, "GET /users/{id}": 3, "GET /tenants/current": 1}  # noqa: RUF012
