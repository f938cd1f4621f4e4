"""The journal: every row that was ever kept, in a file beside the runs that is only appended to.

The run store's database is an index that can be made anew from it, and nothing is lost where the database is
damaged, locked or away: the row is in the journal first. A line is whole when it ends; what a killed writer
left of one is passed over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from adx_lab.errors import StoreError
from adx_lab.files import make_private_folder

Scalar = str | int | float | bool


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: a row that is kept in a table, or the key of one that is removed from it."""

    table: str
    key: dict[str, str]
    row: dict[str, Scalar | None] | None = None


class _Header(msgspec.Struct, frozen=True):
    journal: str


class Journal:
    """The journal at a path.

    Raises
    ------
    StoreError
        It can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str | None:
        """What tells this journal from another machine's; None before its first entry."""
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.readline(), type=_Header).journal
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            return self.path.name  # its first line is damaged; the others count all the same
        except OSError as error:
            raise _refused(self.path, error) from error

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep entries, on disk when this returns."""
        try:
            with self._held() as descriptor:
                size = os.fstat(descriptor).st_size
                text = b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"
                if size == 0:
                    text = msgspec.json.encode(_Header(secrets.token_hex(8))) + b"\n"
                text += b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
                _write(descriptor, text, size)
                os.fsync(descriptor)
        except OSError as error:
            raise _refused(self.path, error) from error

    def read(self, begin: int = 0) -> tuple[list[Entry], int]:
        """Return the entries behind a position, and the position behind the last of them."""
        try:
            with self.path.open("rb") as file:
                file.seek(begin if begin <= self.size else 0)
                text = file.read()
                end = file.tell()
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise _refused(self.path, error) from error
        whole, newline, rest = text.rpartition(b"\n")
        return list(_entries(whole)) if newline else [], end - len(rest)

    @property
    def size(self) -> int:
        """Bytes; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _held(self) -> Iterator[int]:
        make_private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def latest(entries: Sequence[Entry]) -> dict[tuple[str, tuple[str, ...]], Entry]:
    """Return the last entry of each row."""
    return {(entry.table, tuple(entry.key.values())): entry for entry in entries}


def _entries(text: bytes) -> Iterator[Entry]:
    for line in text.splitlines():
        try:
            yield msgspec.json.decode(line, type=Entry)
        except msgspec.MsgspecError:  # the header, or half a line of a killed writer
            continue


def _write(descriptor: int, text: bytes, size: int) -> None:
    try:
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, text[written:], size + written)
    except OSError:
        os.ftruncate(descriptor, size)  # a full disk must leave no half line
        raise


def _refused(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} can't be used: {error.strerror}", mend="free some space or mend the rights")
