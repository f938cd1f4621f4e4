"""A plain locustfile's tasks, each asked of two variants in turn.

A user of each of the file's classes stands for all of its kind, one a variant, and does each task by itself,
wherever it is nested and whatever its weight; a sequence of tasks is done whole, since its later tasks need
the earlier ones. Both draw the same random numbers. What is asked meanwhile is the task's.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust import SequentialTaskSet, TaskSet, User, task

from adx_lab import clock
from adx_lab.load.order import SERIAL_VARIABLE, SerialTold
from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import FileSink
from adx_lab.load.serial.movement import COLD, SERIAL, Mark, Movement, Way
from adx_lab.load.users.twins import Twin
from adx_lab.records.endpoint_names import without_values

__all__ = ["SerialUser", "tasks_of"]

_MOST_S = 0.8
"""Of one task: where there are few of them, the time that all have together is not used up."""

_QUIT_S = 60.0

_WAYS_APART, _PAIRS_APART = 10**8, 100
"""So far apart are numbers of pairs of two tasks, and those of two times that a task was done."""


def tasks_of(
    tasks: Sequence[Any], path: tuple[type[Any], ...] = ()
) -> Iterator[tuple[tuple[type[Any], ...], Any]]:
    """Yield each task that can be done by itself, and the task sets that it is nested in, outermost first."""
    for one in dict.fromkeys(tasks):
        if isinstance(one, type) and issubclass(one, TaskSet) and not issubclass(one, SequentialTaskSet):
            yield from tasks_of(one.tasks, (*path, one))
        else:
            yield path, one


class _Listener:
    """Hears each request, whoever makes it, and records it under the pair that is being asked."""

    def __init__(self, told: SerialTold) -> None:
        self._recorders = {
            name: Recorder(FileSink(Path(told.folder), name), "", timed=told.timed) for name in (COLD, SERIAL)
        }
        self.timeout_s = told.timeout_s
        self._mark: Mark | None = None
        self._first_pair = 0
        self._seen: Counter[str] = Counter()

    def begin(self, mark: Mark, number: int) -> None:
        """Let what is heard belong to a pair of a way with this number."""
        self._seen.clear()
        self._mark, self._first_pair = mark, number * _WAYS_APART + mark.pair * _PAIRS_APART

    def end(self) -> set[str]:
        """Return which endpoints were asked."""
        self._mark = None
        return set(self._seen)

    def hear(self, request_type: Any, name: Any, context: Any = None, **event: Any) -> None:
        """Locust's ``request`` event."""
        mark = self._mark
        if mark is None:
            return
        words = dict(context) if isinstance(context, Mapping) else {}
        endpoint = without_values(str(words.get("adx_endpoint") or f"{request_type} {name}"))
        pair = self._first_pair + min(self._seen[endpoint], _PAIRS_APART - 1)
        self._seen[endpoint] += 1
        words |= {"adx_variant": mark.variant, "adx_pair": pair}
        self._recorders[mark.movement].on_request(request_type, name, context=words, **event)

    def close(self) -> None:
        """End the record."""
        for recorder in self._recorders.values():
            recorder.close()


class _PlainWay:
    """One task of the file."""

    def __init__(
        self, twin: Twin, path: tuple[type[Any], ...], done: Any, *, number: int, heard: _Listener
    ) -> None:
        self.name = ".".join(getattr(one, "__name__", repr(one)) for one in (twin.kind, *path, done))
        self.pairs_max: int | None = None
        self.endpoints: set[str] = set()
        self._twin, self._path, self._done = twin, path, done
        self._number, self._heard = number, heard

    @property
    def endpoint(self) -> str:
        """What it asks for; several endpoints by all their names."""
        return ", ".join(sorted(self.endpoints))

    def prepare(self, variant: str, count: int, choose: random.Random) -> None:
        """Nothing is limited."""

    def perform(self, mark: Mark, choose: random.Random) -> None:
        """Do the task once, at one variant."""
        self._heard.begin(mark, self._number)
        try:
            with gevent.Timeout(self._heard.timeout_s):
                self._twin.do_one(mark.variant, self._path, self._done, choose)
        except gevent.Timeout:
            self.pairs_max = mark.pair  # one that does not end is not asked again
        finally:
            self.endpoints |= self._heard.end()


class SerialUser(User):
    """The one user that lets all the file's users play, and ends the test."""

    abstract = True
    fixed_count = 1
    kinds: Sequence[type[Any]] = ()

    @task
    def play(self) -> None:
        """Play each movement that the other end asks for, told when to begin and when to go on."""
        line = _Line(int(os.environ[SERIAL_VARIABLE]))
        handlers = self.environment.events.request._handlers  # noqa: SLF001
        twins: list[Twin] = []
        try:
            while (told := line.hear()) is not None:
                if not twins and not self._meet(told, twins, line):
                    break
                listener = _Listener(told)
                handlers.insert(0, listener.hear)  # before one that raises
                try:
                    self._play(told, twins, line, listener)
                except Exception as error:
                    line.say(broken=repr(error))
                    raise
                finally:
                    handlers.remove(listener.hear)
                    listener.close()
                    line.say(done=clock.now())
        finally:
            gevent.spawn(self.environment.runner.quit)
        gevent.sleep(_QUIT_S)

    def _meet(self, told: SerialTold, twins: list[Twin], line: _Line) -> bool:
        """Let a user of each class start at each variant."""
        for kind in self.kinds:
            twins.append(Twin(kind, self.environment))
            for rival in told.rivals:
                try:
                    with gevent.Timeout(told.timeout_s):
                        twins[-1].meet(rival.variant, rival.url, rival.headers)
                except (Exception, gevent.Timeout) as error:  # noqa: BLE001  # whatever an `on_start` raises
                    line.say(refused=rival.variant, why=f"{kind.__name__}.on_start: {error!r}")
                    return False
        return True

    def _play(self, told: SerialTold, twins: Sequence[Twin], line: _Line, listener: _Listener) -> None:
        tasks = [(twin, path, done) for twin in twins for path, done in tasks_of(twin.kind.tasks)]
        ways = [_PlainWay(*one, number=number, heard=listener) for number, one in enumerate(tasks)]
        if not ways:
            return
        line.say(began=clock.now())
        wanted = None if told.endpoints is None else set(told.endpoints)

        def is_wanted(way: Way) -> bool:
            assert isinstance(way, _PlainWay)
            return bool(way.endpoints) and (wanted is None or not wanted.isdisjoint(way.endpoints))

        movement = Movement(
            tuple(rival.variant for rival in told.rivals),
            max(told.seconds, min(told.together_s / len(ways), _MOST_S)),
            told.block,
            told.seed,
            line.read,
            pairs_min=2,
            quiet=lambda: line.wait(quiet=True),
            wanted=is_wanted,
            limit_s=told.limit_s,
        )
        for one in movement.play(ways):
            line.say(endpoint=one.endpoint, pairs=one.pairs, before=one.before, after=one.after)


class _Line:
    """The line to whoever started this process: what is under way, and the word to go on."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._readings = 0

    def hear(self) -> SerialTold | None:
        """Wait for what is to be played next; None where the other end has hung up."""
        self._readings = 0
        with self._socket.makefile("rb", buffering=0) as lines:
            text = lines.readline()
        return msgspec.json.decode(text, type=SerialTold) if text else None

    def say(self, **told: Any) -> None:
        self._socket.sendall(json.dumps(told).encode() + b"\n")

    def wait(self, **told: Any) -> None:
        """Say something, and wait until it is done."""
        self.say(**told)
        self._socket.recv(1)

    def read(self) -> int:
        """Let the other end read its counters, and return which of its readings that was."""
        self.wait(read=True)
        self._readings += 1
        return self._readings - 1
