"""Durable work: asked for, and followed."""

from adx_lab.load.users import OpenLoopUser


class Workflows(OpenLoopUser):
    """Triggers of both workflows, and questions how they stand."""

    rate_per_s = 60.0
    mix = {  # noqa: RUF012
        "POST /workflows/{name}/runs": 4,
        "POST /files/{id}/process": 2,
        "GET /workflows/runs/{id}": 6,
    }
