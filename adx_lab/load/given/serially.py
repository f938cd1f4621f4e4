"""Given to Locust beside somebody's locustfile, this lets its users ask two variants in turn, and ends."""

from __future__ import annotations

import os
from typing import Any

from locust import events

from adx_lab.load.given.in_hand import keep_in_hand
from adx_lab.load.order import SERIAL_VARIABLE
from adx_lab.load.process.credentials import trust_as_told
from adx_lab.load.users.in_turn import SerialUser
from adx_lab.load.users.twins import share_random_numbers


def _replace_users(environment: Any, **_: Any) -> None:
    # The one user of a scenario written for the lab sends a schedule, and has no tasks to be done one by one.
    kinds = tuple(kind for kind in environment.user_classes if not hasattr(kind, "load_kind"))
    environment._filter_tasks_by_tags()  # noqa: SLF001  # as its runner would, of the classes that it had
    fields = {"abstract": False, "kinds": kinds, "host": environment.host}
    environment.user_classes = [type("Serial", (SerialUser,), fields)]
    environment.shape_class = None


if SERIAL_VARIABLE in os.environ:
    keep_in_hand()
    trust_as_told()
    share_random_numbers()
    _told: Any = events
    _told.init.add_listener(_replace_users)
