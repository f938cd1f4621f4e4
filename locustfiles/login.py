"""A morning rush: people come in, see who they are, and that is all."""

from adx_lab.load.users import OpenLoopUser


class Login(OpenLoopUser):
    """Every login hashes a password, which is dear on purpose: the rate is low."""

    rate_per_s = 16.0
    accounts = 24
    mix = {"POST /auth/login": 1, "GET /auth/me": 1}  # noqa: RUF012
