"""When a streamed answer ended: Locust's own time of a request with ``stream=True`` ends with its first byte.

Whoever reads the answer, and however, gives its connection back when it has come to the end. That moment is
kept beside the request itself, since Locust tells nobody of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

_TOLD = "_adx_told"


def follow_stream(answer: Any, told: Callable[[], None]) -> None:
    """Have it told when all of a streamed answer has come; never, where nobody reads so far.

    Parameters
    ----------
    answer
        What Locust's `HttpUser` or `FastHttpUser` returned.
    """
    for name, give_back, is_whole in _CLIENTS:
        body = getattr(answer, name, None)
        if body is None:
            continue
        if is_whole(body):
            told()
        else:
            setattr(body, _TOLD, told)
            body.__class__ = _followed(type(body), give_back, is_whole)  # type: ignore[arg-type]  # a class is hashable
        return


@cache
def _followed(kind: type[Any], give_back: str, is_whole: Callable[[Any], bool]) -> type[Any]:
    """Return a class of answers like another, which tells when it is at its end.

    A class and not a method of the one answer, which would refer to itself and live on when it is let go.
    """

    def given_back(self: Any, *args: Any, **more: Any) -> Any:
        if is_whole(self) and (told := vars(self).pop(_TOLD, None)):
            told()
        return getattr(kind, give_back)(self, *args, **more)

    return type(kind.__name__, (kind,), {give_back: given_back})


def _is_read(body: Any) -> bool:
    """Tell of urllib3's answer, which is closed as well when it is let go before its end."""
    original, connection = (getattr(body, name, None) for name in ("_original_response", "_connection"))
    if original is None or not original.isclosed():
        return original is None
    let_go = connection is not None and connection.sock is None and not original.will_close
    return not let_go and sys.exc_info()[0] is not GeneratorExit


def _is_complete(body: Any) -> bool:
    return bool(body.message_complete)


_CLIENTS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("raw", "release_conn", _is_read),
    ("_response", "release", _is_complete),
)
"""Under which name an answer has its body, how that gives its connection back, and whether it is whole."""
