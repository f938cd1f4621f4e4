"""Files: listed, described, read whole and in part, stored."""

from adx_lab.load.users import OpenLoopUser


class Files(OpenLoopUser):
    """Contents of 4 kB to 1 MB go both ways."""

    rate_per_s = 100.0
    mix = {  # noqa: RUF012
        "GET /files": 25,
        "GET /files/{id}": 35,
        "GET /files/{id}/content": 15,
        "GET /files/{id}/content (range)": 15,
        "POST /files": 10,
    }
