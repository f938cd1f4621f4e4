"""Given to Locust beside somebody's locustfile, this makes one user ask one request at a time, and wait.

So whoever is at the other end of two pipes can read, between two requests, what the service's database was
asked meanwhile: which statements each endpoint asks for, without any instrumentation of the service. Tasks
come as often as one another, whatever their weights, and nobody thinks in between.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

from locust import events

from adx_lab.load.given.in_hand import keep_in_hand
from adx_lab.load.order import HEADERS_VARIABLE, SINGLE_VARIABLE
from adx_lab.load.process.credentials import log_users_in, trust_as_told


def _prepare(environment: Any, **_: Any) -> None:
    random.seed(int(os.environ.get("ADX_LOAD_SEED", "1")))
    headers = json.loads(os.environ.get(HEADERS_VARIABLE, "{}"))
    if headers:
        log_users_in(headers, environment)
    environment.shape_class = None
    for user in environment.user_classes:
        user.tasks = list(dict.fromkeys(user.tasks))
        user.wait_time = lambda _self: 0.0


def _on_request(
    request_type: str,
    name: str,
    response_time: float | None,
    exception: BaseException | None = None,
    **_: Any,
) -> None:
    told, go_on = (int(number) for number in os.environ[SINGLE_VARIABLE].split(","))
    line = {"endpoint": f"{request_type} {name}", "ms": response_time, "failed": exception is not None}
    os.write(told, json.dumps(line, default=str).encode() + b"\n")
    os.read(go_on, 1)


if SINGLE_VARIABLE in os.environ:
    keep_in_hand()
    trust_as_told()
    _told: Any = events
    _told.init.add_listener(_prepare)
    _told.request.add_listener(_on_request)
