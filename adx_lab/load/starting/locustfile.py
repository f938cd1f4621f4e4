"""Given to Locust beside somebody's locustfile (``-f``), this makes it record; it has no users of its own."""

from adx_lab.load.plugin import register
from adx_lab.load.users.twins import send_plain_users

send_plain_users()
register()
