"""Given to Locust beside somebody's locustfile (``-f``), this makes it record; it has no users of its own."""

import adx_lab.load.recorder  # noqa: F401  # importing it registers it
