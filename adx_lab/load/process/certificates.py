"""Let somebody's `HttpUser` trust the service's certificate, as the project file says.

`FastHttpUser` trusts everybody as it comes, as Locust has it; its users can be stricter themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import urllib3
from locust.clients import HttpSession

from adx_lab.load.order import UNVERIFIED_VARIABLE


def trust_as_told() -> None:
    """Let each session of this process verify nothing, where the environment says so."""
    if UNVERIFIED_VARIABLE in os.environ:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        session: Any = HttpSession
        session.__init__ = _trusting(session.__init__)


def _trusting(make: Callable[..., None]) -> Callable[..., None]:
    def init(session: Any, *arguments: Any, **named: Any) -> None:
        make(session, *arguments, **named)
        session.verify = False

    return init
