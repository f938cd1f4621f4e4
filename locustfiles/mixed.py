"""What a day looks like: every group of endpoints at realistic weights, tenants drawn by their size."""

from adx_lab.load.users import OpenLoopUser


class Mixed(OpenLoopUser):
    """Mostly reading, some writing, now and then a login."""

    mix = {  # noqa: RUF012  # a scenario is read, never changed
        "GET /health": 4,
        "GET /auth/me": 28,
        "POST /auth/login": 0.6,
        "GET /tenants/current": 4,
        "GET /users/{id}": 32,
        "GET /users": 18,
        "PATCH /users/{id}": 1,
        "POST /users": 0.6,  # hashes a password: dear on purpose
        "GET /files": 4,
        "GET /files/{id}": 4,
        "GET /files/{id}/content": 2,
        "POST /files": 1,
        "POST /workflows/{name}/runs": 0.5,
        "GET /workflows/runs/{id}": 1,
    }
