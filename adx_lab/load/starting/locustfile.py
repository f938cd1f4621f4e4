"""Given to Locust beside somebody's locustfile (``-f``), this makes it record; it has no users of its own."""

from adx_lab.load.plugin import register

register()
