"""Let a plain locustfile's own users play a serial movement; `adx_lab.load.users.in_turn` is how they ask."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.errors import MeasurementError
from adx_lab.load.collecting.tables import Tables, read_stream
from adx_lab.load.order import SERIAL_VARIABLE, SerialTold
from adx_lab.load.serial.movement import COLD, SERIAL, Measured
from adx_lab.load.serial.order import RefusedError, SerialOrder, SerialRecord
from adx_lab.load.starting.headless import one_user_words, with_trust
from adx_lab.processes import Child, start_child, stop_child

__all__ = ["PlainPlayers", "PlainUsers"]

_PLUGIN = Path(__file__).parents[1] / "given" / "serially.py"
_LIMIT_S = 20.0
_STARTING_S = 90.0
"""Locust imports, and users log in; and what has begun may end."""

_HOST_UNUSED = "http://127.0.0.1"
"""Locust insists on a host; requests go to the rivals."""


@dataclass(frozen=True, slots=True)
class PlainUsers:
    """Whose users play: a locustfile, and how Locust is started with it.

    Attributes
    ----------
    words
        Options of the file's own, and tags.
    together_s
        Of all its tasks; each of few takes its share.
    timed
        Whether the service's ``Server-Timing`` is kept.
    """

    locustfile: Path
    log: Path
    together_s: float
    words: tuple[str, ...] = ()
    trust: Mapping[str, str | None] = field(default_factory=dict)
    timed: bool = True


@dataclass
class PlainPlayers:
    """A Locust that has the users ready, and plays movements with them."""

    users: PlainUsers
    _line: socket.socket | None = None
    _child: Child | None = None

    async def __aenter__(self) -> PlainPlayers:
        """Start it."""
        self._line, theirs = socket.socketpair()
        users = self.users
        environ = {**with_trust(os.environ, users.trust), SERIAL_VARIABLE: str(theirs.fileno()),
                   "PYTHONUNBUFFERED": "1", "LOCUST_HOST": _HOST_UNUSED}  # fmt: skip
        command = one_user_words(_PLUGIN, users.locustfile, users.words)
        with theirs:
            fds = (theirs.fileno(),)
            self._child = start_child("locust", command, log=users.log, environ=environ, pass_fds=fds)
        self._line.settimeout(_LIMIT_S + _STARTING_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it."""
        assert self._line is not None
        assert self._child is not None
        self._line.close()
        await stop_child(self._child, grace_s=3)

    def play(self, order: SerialOrder, read: Callable[[], Any], quiet: Callable[[], None]) -> SerialRecord:
        """Let the users ask each variant for all that they ask for; blocks for as long as it takes.

        Raises
        ------
        RefusedError
            One of the variants lets nobody in.
        MeasurementError
            The users could not be started, or did not end.
        """
        assert self._line is not None
        order.folder.mkdir(parents=True, exist_ok=True)
        told = SerialTold(
            rivals=tuple(order.rivals),
            folder=str(order.folder / "asked"),
            seconds=order.seconds,
            together_s=self.users.together_s,
            limit_s=_LIMIT_S,
            block=order.block,
            seed=order.seed,
            timeout_s=order.timeout_s,
            endpoints=None if order.endpoints is None else tuple(order.endpoints),
            timed=self.users.timed,
        )
        try:
            self._line.sendall(msgspec.json.encode(told) + b"\n")
            began, ended, measured = _listen(self._line, read, quiet)
        except (OSError, ValueError, EOFError) as error:
            raise MeasurementError(
                f"the locustfile's users could not be asked one request at a time: {error}",
                log=self.users.log,
            ) from error
        return SerialRecord(began, ended, tuple(_tabulate(order.folder, began)), tuple(measured))


def _listen(
    line: socket.socket, read: Callable[[], Any], quiet: Callable[[], None]
) -> tuple[float, float, list[Measured]]:
    """Do what the users ask for until they are done."""
    began = 0.0
    readings: list[Any] = []
    measured: list[Measured] = []
    with line.makefile("rb") as lines:
        for text in lines:
            told = json.loads(text)
            if "refused" in told:
                raise RefusedError(told["refused"], told["why"])
            if "broken" in told:
                raise ValueError(told["broken"])
            if "done" in told:
                if not began:
                    raise ValueError("they have no task")
                return began, told["done"], measured
            if "read" in told:
                readings.append(read())
                line.sendall(b".")
            elif "quiet" in told:
                quiet()
                line.sendall(b".")
            elif "began" in told:
                began = told["began"]
            else:
                before, after = readings[told["before"]], readings[told["after"]]
                measured.append(Measured(told["endpoint"], told["pairs"], before, after))
    raise EOFError("they ended before they were done")


def _tabulate(folder: Path, began: float) -> Iterator[str]:
    """Make each movement's tables, and yield its name."""
    for movement in (COLD, SERIAL):
        place = folder / movement
        place.mkdir()
        tables = Tables(place, began, joined=True)
        for batch in read_stream(folder / "asked" / f"{movement}.arrows", []):
            tables.append(batch, worker=0, offset_s=0.0)
        tables.close()
        yield movement
