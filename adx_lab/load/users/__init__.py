"""Users for locustfiles, on behalf of real accounts of the data set.

A scenario says how often what is asked::

    class Mixed(OpenLoopUser):
        mix = {"GET /users": 3, "GET /auth/me": 1}

The names are those of `adx_lab.load.asks`; a scenario adds its own with `action`. Each arrival picks by
weight, and an account by its tenant's size. An `OpenLoopUser` sends every arrival when it is due, in a
greenlet of its own: a slow answer never delays the next arrival, and where it does all the same (no
connection free) the latency says so, since it counts from the intended start. A `CrowdUser` is one of many
who wait for their answer and then think; its latency counts from the end of the thinking.
"""

from adx_lab.load.plugin import register
from adx_lab.load.schedules.arrivals import Stage, climb
from adx_lab.load.users.actions import Ask, action
from adx_lab.load.users.crowd import CrowdUser
from adx_lab.load.users.open_loop import OpenLoopUser

__all__ = ["Ask", "CrowdUser", "OpenLoopUser", "Stage", "action", "climb"]

register()
