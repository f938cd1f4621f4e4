"""Given to Locust beside somebody's locustfile (``-f``), this makes it record; it has no users of its own."""

from adx_lab.load.given.in_hand import keep_in_hand
from adx_lab.load.given.leaving import tell_leavers
from adx_lab.load.plugin import register
from adx_lab.load.users.twins import send_plain_users

tell_leavers()
keep_in_hand()
send_plain_users()
register()
