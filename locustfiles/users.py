"""The user directory: looked up, listed, changed."""

from adx_lab.load.users import OpenLoopUser


class Users(OpenLoopUser):
    """Reads and writes of users only."""

    mix = {  # noqa: RUF012
        "GET /users/{id}": 60,
        "GET /users": 25,
        "GET /users (cursor)": 8,
        "PATCH /users/{id}": 4,
        "POST /users": 1,
        "POST /users/batch": 0.1,  # ten passwords to hash each
    }
