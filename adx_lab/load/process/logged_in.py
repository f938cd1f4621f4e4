"""Let a plain file's users send what the lab's login gave, in whatever way they make their clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def log_users_in(headers: Mapping[str, str], environment: Any, **_: Any) -> None:
    """Give all users of an environment the headers of who is logged in."""
    for kind in environment.user_classes:
        if not hasattr(kind, "load_kind"):
            kind.default_headers = dict(headers)
            kind.__init__ = _logged_in(kind.__init__, headers)


def _logged_in(make: Callable[..., None], headers: Mapping[str, str]) -> Callable[..., None]:
    def init(user: Any, environment: Any) -> None:
        make(user, environment)
        if hasattr(getattr(user, "client", None), "headers"):
            user.client.headers.update(headers)

    return init
