"""What somebody's own users are given: the headers of who is logged in, and whose certificate to trust.

`FastHttpUser` trusts everybody as it comes, as Locust has it; `HttpUser` trusts as the project file says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import urllib3
from locust.clients import HttpSession

from adx_lab.load.order import TRUST_VARIABLE


def trust_as_told() -> None:
    """Let each session of this process trust the CA that the environment names, or everybody ("")."""
    ca = os.environ.get(TRUST_VARIABLE)
    if ca == "":
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if ca is not None:
        session: Any = HttpSession
        session.__init__ = _trusting(session.__init__, ca or False)


def log_users_in(headers: Mapping[str, str], environment: Any, **_: Any) -> None:
    """Give all plain users of an environment the headers of who is logged in."""
    for kind in environment.user_classes:
        if not hasattr(kind, "load_kind"):
            kind.default_headers = dict(headers)
            kind.__init__ = _logged_in(kind.__init__, headers)


def _trusting(make: Callable[..., None], verify: str | bool) -> Callable[..., None]:
    def init(session: Any, *arguments: Any, **named: Any) -> None:
        make(session, *arguments, **named)
        session.verify = verify

    return init


def _logged_in(make: Callable[..., None], headers: Mapping[str, str]) -> Callable[..., None]:
    def init(user: Any, environment: Any) -> None:
        make(user, environment)
        if hasattr(getattr(user, "client", None), "headers"):
            user.client.headers.update(headers)

    return init
