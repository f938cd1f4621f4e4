"""What Locust tells nobody: requests without an answer, tasks without an end, what a task raised.

Locust fires its ``request`` event when an answer has come. A request that is still open when its user is
stopped, or when a time-out of the user's own strikes, leaves no trace. Its clients and its task sets are
watched in their classes, since somebody else's locustfile must be measured as it stands.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import gevent
import locust
from gevent import GreenletExit
from locust import TaskSet, User
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.user.task import DefaultTaskSet

from adx_lab import clock
from adx_lab.load.places import raised_at
from adx_lab.load.recording.fitting import show, writable
from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import EXCEPTION, ON_START, ON_STOP, STREAM_END, UNANSWERED
from adx_lab.load.recording.streams import follow_stream

_LOCUST = str(Path(locust.__file__).parent)
_HERE = str(Path(__file__))
_TOLD = "adx_told"
_KINDS_MAX = 50
_SLEEP = ("hub.py", "sleep")

_listening: list[Recorder] = []
"""The recorder of the test that runs, if one does."""


_Sent = tuple[Any, Any, Any, float, dict[str, Any]]
"""A request that was sent: its client, its name, its method, when (`time.monotonic`), its options."""

_under_way: dict[int, _Sent] = {}
"""Requests that were sent and not answered, by the identity of their options."""

_left: list[str] = []
"""Where a task called ``sys.exit``."""


class Exceptions:
    """What tasks and ``on_start`` raise: a row each, a traceback once a kind."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: set[tuple[str, str]] = set()

    def on_user_error(self, user_instance: Any, exception: BaseException, tb: TracebackType | None) -> None:
        """Keep one (Locust's ``user_error`` event)."""
        frames = [
            frame for frame in traceback.extract_tb(tb) if not frame.filename.startswith((_LOCUST, _HERE))
        ]
        user = getattr(user_instance, "user", None) or user_instance
        place = f"{type(user).__name__}.{frames[0].name}" if frames else type(user).__name__
        text = (
            f"{type(exception).__name__}: {show(exception) if not _words(exception) else _words(exception)}"
        )
        self._recorder.keep(
            EXCEPTION, request_type="task", name=place, sent=clock.now(), ms=None, error=writable(text)
        )
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        kind = (type(exception).__name__, f"{place} {where}")
        if kind not in self._known and len(self._known) < _KINDS_MAX:
            self._known.add(kind)
            told = "".join(traceback.format_exception(type(exception), exception, tb))
            self._recorder.tell(
                exception={
                    "endpoint": place,
                    "text": writable(text),
                    "where": where,
                    "traceback": writable(told),
                }
            )


def listen(recorder: Recorder) -> None:
    """Let a test's recorder be told."""
    _listening[:] = [recorder]


def stop_listening() -> None:
    """Tell nobody any more."""
    _listening.clear()


def watch_locust() -> list[tuple[Any, str, Any]]:
    """Watch Locust's clients and task sets, of all users of this process; once.

    Returns
    -------
    list
        What was replaced for it: class, name and method.
    """
    wanted = (
        *((session, "request", _watched_request) for session in (HttpSession, FastHttpSession)),
        *((tasks, "execute_task", _watched_task) for tasks in (TaskSet, DefaultTaskSet)),
        *((each, "__init__", _phased) for each in (User, TaskSet)),
    )
    replaced = []
    for owner, name, watched in wanted:
        method = getattr(owner, name)
        if not hasattr(method, _TOLD):
            setattr(owner, name, watched(method))
            replaced.append((owner, name, method))
    return replaced


def _watched_request(request: Any) -> Any:
    # Called for each request: what only an unfinished one needs is worked out when there is one.
    def watched(self: Any, method: Any, url: Any, name: Any = None, *args: Any, **more: Any) -> Any:
        key = id(more)
        _under_way[key] = sent = (self, name or url, method, monotonic(), more)
        try:
            answer = request(self, method, url, name, *args, **more)
        except Exception:
            raise
        except BaseException as stopped:  # GreenletExit, or a gevent.Timeout of the user's own
            setattr(stopped, _TOLD, True)
            if key in _under_way:
                _keep_unanswered(sent)
            raise
        finally:
            _under_way.pop(key, None)
        if more.get("stream"):
            follow_stream(answer, partial(_keep, STREAM_END, sent))
        return answer

    setattr(watched, _TOLD, True)
    return watched


def keep_under_way() -> None:
    """Keep what is open at the end and no user's own: a greenlet beside the users is never stopped."""
    for key in list(_under_way):
        _keep_unanswered(_under_way.pop(key))


def _keep_unanswered(sent: _Sent) -> None:
    _keep(UNANSWERED, sent, "no answer within {:.1f} s")


def _keep(kind: str, sent: _Sent, error: str | None = None) -> None:
    client, name, method, at, more = sent
    for recorder in _listening:
        waited_s = monotonic() - at
        recorder.keep(
            kind,
            request_type=show(method),
            name=f"{show(method)} {writable(str(getattr(client, 'request_name', None) or name))}",
            sent=clock.moment(at),
            ms=waited_s * 1000,
            error=error and error.format(waited_s),
            context=more.get("context"),
        )


def _watched_task(execute_task: Any) -> Any:
    def watched(self: Any, task: Any) -> Any:
        began = clock.now()
        try:
            return execute_task(self, task)
        except GreenletExit as stopped:
            if not hasattr(stopped, _TOLD) and not hasattr(self.user, "load_kind") and not _slept(stopped):
                _keep_unfinished(self.user, task, began, stopped)
            raise
        except SystemExit as left:
            _left[:] = [f"sys.exit in {raised_at(left.__traceback__) or 'a task'}"]
            raise

    setattr(watched, _TOLD, True)
    return watched


def who_left() -> str | None:
    """Return which task ended this process, where one did."""
    return next(iter(_left), None)


def _keep_unfinished(user: Any, task: Any, began: float, stopped: BaseException) -> None:
    """Keep a task that was stopped while it waited for more than time to pass: an answer of any protocol."""
    setattr(stopped, _TOLD, True)
    for recorder in _listening:
        waited_s = clock.now() - began
        name = f"task {type(user).__name__}.{getattr(task, '__name__', show(task))}"
        error = f"not ended after {waited_s:.1f} s"
        recorder.keep(UNANSWERED, request_type="task", name=name, sent=began, ms=waited_s * 1000, error=error)


def _slept(stopped: BaseException) -> bool:
    """Tell whether a stopped greenlet was only letting time pass."""
    frames = traceback.extract_tb(stopped.__traceback__)
    # What is compiled of gevent shows by the names of its sources.
    python = [frame for frame in frames if not frame.filename.startswith("src/gevent")]
    return bool(python) and (Path(python[-1].filename).name, python[-1].name) == _SLEEP


def _phased(make: Callable[..., None]) -> Callable[..., None]:
    """Let each user's ``on_start`` and ``on_stop`` say that what they send is no part of the tasks."""

    def made(self: Any, *args: Any, **more: Any) -> None:
        make(self, *args, **more)
        parent = getattr(self, "_parent", None)
        # Of a nested task set they come again and again: they belong to what is measured.
        if isinstance(self, User) or isinstance(parent, User):
            for name, phase in (("on_start", ON_START), ("on_stop", ON_STOP)):
                setattr(self, name, _in_phase(getattr(self, name), phase))

    setattr(made, _TOLD, True)
    return made


def _in_phase(method: Any, phase: str) -> Any:
    def called(*args: Any, **more: Any) -> Any:
        me, recorders = gevent.getcurrent(), list(_listening)
        for recorder in recorders:
            recorder.phases[me] = phase
        try:
            return method(*args, **more)
        finally:
            for recorder in recorders:
                recorder.phases.pop(me, None)

    return called


def _words(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception:  # noqa: BLE001  # an exception's own words may raise as well
        return ""
