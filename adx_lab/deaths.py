"""What died while it was needed: noted when it is seen, in a file that outlives whoever notes it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.files import make_private_folder


@dataclass(frozen=True, slots=True)
class Death:
    """One process that ended and should not have.

    Attributes
    ----------
    role
        What it was: postgres, valkey, locust, the service by its name.
    at
        When that was seen: ISO 8601, UTC.
    how
        Its signal or exit status, in words.
    log
        Where its last words are; None where it had no log of ours.
    again
        Whether it was started again.
    """

    role: str
    at: str
    how: str
    pid: int | None = None
    log: str | None = None
    again: bool = False

    def __str__(self) -> str:
        again = ", and was started again" if self.again else ""
        log = f"; see {self.log}" if self.log else ""
        return f"{self.role} {self.how} at {self.at}{again}{log}"


def in_words(status: int) -> str:
    """Return how a process ended, from what `subprocess` calls its return code."""
    if status >= 0:
        # A shell, or whoever else stands before a process, tells its signal like this.
        by_signal = f", as by {signal.Signals(status - 128).name}" if status - 128 in _SIGNALS else ""
        return f"exited with status {status}{by_signal}"
    try:
        name = f" ({signal.Signals(-status).name})"
    except ValueError:  # a real-time signal has no name
        name = ""
    return f"was killed by signal {-status}{name}"


_SIGNALS = frozenset(int(number) for number in signal.Signals)


def now() -> str:
    """Return the present moment, as deaths are dated."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def note_death(file: Path, death: Death) -> None:
    """Append a death to the list of a stack."""
    make_private_folder(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(asdict(death)) + b"\n")
    finally:
        os.close(descriptor)


class DeathTail:
    """The deaths of a stack from now on; without a file there are none to read."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._begin = file.stat().st_size if file is not None and file.exists() else 0

    def read(self) -> list[Death]:
        """Return those that were noted since."""
        if self._file is None or not self._file.exists():
            return []
        with self._file.open("rb") as lines:
            lines.seek(self._begin)
            return list(_deaths(lines.read()))


def backends_killed(server_log: str) -> list[Death]:
    """Return the PostgreSQL processes that, as its log says, a signal ended; all sessions end with each."""
    return [
        Death("postgres backend", f"{found['at'].replace(' ', 'T')}+00:00", in_words(-int(found["signal"])))
        for found in _BACKEND.finditer(server_log)
    ]


_BACKEND = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d [\d:.]{12}) UTC .*was terminated by signal (?P<signal>\d+)", re.MULTILINE
)


def _deaths(text: bytes) -> Iterator[Death]:
    for line in text.splitlines():
        document: dict[str, Any] = msgspec.json.decode(line)
        yield Death(**document)
