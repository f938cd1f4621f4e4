"""Few endpoints, each asked often and each by another road: calibration must see every mistake."""

from adx_lab.load.users import OpenLoopUser


class Calibration(OpenLoopUser):
    """From the cache, from the database, by page, by cursor; some writes, and nothing that is dear."""

    mix = {  # noqa: RUF012
        "GET /users/{id}": 40,
        "GET /users (page)": 20,
        "GET /users (cursor)": 20,
        "GET /auth/me": 15,
        "PATCH /users/{id}": 5,
    }
