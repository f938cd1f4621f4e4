"""How fast is too fast: the rate rises until a budget breaks; the last step that kept all is the knee."""

from adx_lab.load.users import OpenLoopUser, climb


class Steps(OpenLoopUser):
    """Each step lasts 6 s, and is 1.3 times as fast as the one before."""

    stages = climb(200, factor=1.3, steps=14, seconds=6)
    stop_at_budget = True
    mix = {  # noqa: RUF012
        "GET /health": 4,
        "GET /auth/me": 35,
        "GET /users/{id}": 35,
        "GET /users": 15,
        "GET /tenants/current": 5,
        "GET /files": 3,
        "GET /files/{id}": 3,
    }
