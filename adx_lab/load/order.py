"""What the lab tells the Locust processes, in one file that ``ADX_LOAD_ORDER`` names."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adx_lab.errors import UsageError
from adx_lab.files import make_private_folder

VARIABLE = "ADX_LOAD_ORDER"
SINGLE_VARIABLE = "ADX_LOAD_SINGLE"
"""Two file descriptors: where each request of a single user is told, and where the word to go on is read.

Here and not beside that user: who imports Locust has its process patched.
"""

SERIAL_VARIABLE = "ADX_LOAD_SERIAL"
"""A socket: over it come a `SerialTold` and the word to go on, and goes what is under way."""

HEADERS_VARIABLE = "ADX_LOAD_HEADERS"
"""What the lab's login gave, for a single user; in the environment, where others can't read it."""

TRUST_VARIABLE = "ADX_LOAD_TRUST"
"""The CA by which Locust's users verify the service's certificate; empty: they verify none."""


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of a duet: where it answers, and whom to log in as there."""

    variant: str
    url: str
    sample_file: str | None = None
    headers: dict[str, str] = {}


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One load: how fast, how long, on whose behalf, and where the record goes.

    What is None is the scenario's own business, and the lab's default where the scenario does not care.

    Attributes
    ----------
    sample_file
        Tells whom to log in as; None for somebody else's service.
    budget_file
        The budgets that the web page shows live and that a climbing load stops at.
    replay_file
        A recorded schedule to be sent again (an Arrow file, see `adx_lab.load.schedules.replay`).
    endless
        Somebody watches, and stops it by hand.
    headers
        Of who is logged in, where the lab did that for somebody else's users.
    rivals_file
        Of a duet, where every arrival goes to two variants: the file that will name them once both answer,
        so that Locust starts while they do.
    traced
        Whether each request carries a ``traceparent``, so that the service's spans of it can be found.
    timed
        Whether the service's ``Server-Timing`` is kept.
    given
        What of this somebody named on the command line: refused where the load can't obey it.
    spawn_per_s
        Users that somebody else's load gains each second; None is Locust's own default.
    """

    raw_dir: str
    scenario: str
    rate_per_s: float | None = None
    duration_s: float | None = None
    warmup_s: float | None = None
    users: int | None = None
    seed: int = 1
    timeout_s: float = 30.0
    sample_file: str | None = None
    budget_file: str | None = None
    replay_file: str | None = None
    variant: str = "head"
    endless: bool = False
    rivals_file: str | None = None
    headers: dict[str, str] = {}
    traced: bool = False
    timed: bool = True
    given: tuple[str, ...] = ()
    spawn_per_s: float | None = None


class SerialTold(msgspec.Struct, frozen=True, kw_only=True):
    """A serial movement that a locustfile's own users play.

    Attributes
    ----------
    folder
        Where each movement's requests are recorded.
    seconds
        Of each task, at least.
    together_s
        Of all tasks; few of them share it.
    limit_s
        At which what has not been asked stays unasked: tasks may take as long as they like.
    endpoints
        Those whose tasks are measured; None is all.
    """

    rivals: tuple[Rival, ...]
    folder: str
    seconds: float
    together_s: float
    limit_s: float
    block: int
    seed: int
    timeout_s: float
    endpoints: tuple[str, ...] | None
    timed: bool


def write_order(order: LoadOrder, path: Path) -> None:
    """Save a order for the Locust processes, and make the folder that they record into."""
    make_private_folder(Path(order.raw_dir))
    path.write_bytes(msgspec.json.encode(order))


def write_rivals(rivals: tuple[Rival, ...], path: Path) -> None:
    """Tell a Locust that waits for them who the rivals are; never half of it."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(rivals))
    partial.replace(path)


def awaited_file(path: str | Path) -> Path:
    """Return the file that a Locust which waits for its rivals makes."""
    return Path(path).with_suffix(".awaited")


def read_rivals(path: str | Path) -> tuple[Rival, ...]:
    """Return the rivals, or none as long as they are not known."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=tuple[Rival, ...])
    except FileNotFoundError:
        return ()


def read_order(path: str | Path | None = None) -> LoadOrder | None:
    """Return the order of the load that this process is a part of, or None outside the lab."""
    path = path or os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=LoadOrder)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"the load's order {path} can't be read: {error}") from error
