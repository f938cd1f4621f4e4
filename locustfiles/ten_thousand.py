"""Ten thousand people at once, a connection each, who ask, wait for the answer, and think."""

from adx_lab.load.users import CrowdUser


class TenThousand(CrowdUser):
    """Thinking 8.5 s on average, they ask some 1,170 times a second; they share 200 people's sessions."""

    users = 10_000
    think_s = 8.5
    duration_s = 60.0
    warmup_s = 20.0
    accounts = 200
    mix = {  # noqa: RUF012
        "GET /health": 4,
        "GET /auth/me": 40,
        "GET /tenants/current": 5,
        "GET /users/{id}": 35,
        "GET /users": 10,
        "GET /files": 2,
        "GET /files/{id}": 3,
        "POST /workflows/{name}/runs": 0.5,
        "GET /workflows/runs/{id}": 0.5,
    }
