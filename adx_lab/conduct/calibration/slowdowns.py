"""What is known to be slower: the trials that a calibration makes, and which one is due."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from adx_lab.errors import UsageError
from adx_lab.settings import SHIPPED
from adx_lab.store.trials import Trial, TrialKind

ENDPOINT = "GET /users/{id}"
"""The endpoint that is made slower by a known share."""

SLOWDOWNS = SHIPPED / "data" / "slowdowns"
"""Patches and statements: they fit this source tree, and no other."""

EFFECTS = (0.10, 0.05)
_TARGETS: Mapping[TrialKind, int] = {"equal": 20, "slowed": 10, "realistic": 1}
"""How many trials of each make a calibration whole; which one is due is the one furthest from it."""

_INVALID_COUNTS = 0.25


@dataclass(frozen=True, slots=True)
class Slowdown:
    """One duet of which the truth is known.

    Attributes
    ----------
    effect
        By how much `ENDPOINT` is made slower; then ``head`` holds ``@PATCH@`` for the patch to be made.
    causes
        The kinds of finding that name it rightly.
    """

    kind: TrialKind
    name: str
    base: str = "."
    head: str = "."
    effect: float | None = None
    causes: tuple[str, ...] = ()


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    head: str
    causes: tuple[str, ...]
    base: str = "."


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slowdown: tuple[_Entry, ...]


def catalogue(folder: Path) -> tuple[Slowdown, ...]:
    """Return every trial that can be made: equals, known shares, and the mistakes in ``slowdowns.toml``.

    Raises
    ------
    UsageError
        The file is missing or wrong.
    """
    path = folder / "slowdowns.toml"
    try:
        told = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path} can't be read: {error}", mend="restore it") from error
    known = [Slowdown("equal", "equal")]
    known += [
        Slowdown(
            "slowed", f"{effect:+.0%}", head=".+patch=@PATCH@", effect=effect, causes=("cpu", "blocking")
        )
        for effect in EFFECTS
    ]
    known += [
        Slowdown(
            "realistic",
            entry.name,
            base=entry.base.format(folder=folder),
            head=entry.head.format(folder=folder),
            causes=entry.causes,
        )
        for entry in told.slowdown
    ]
    return tuple(known)


def due(known: Sequence[Slowdown], made: Sequence[Trial]) -> Slowdown:
    """Return the trial that is furthest from its target; equals first, since the others rest on them.

    One that is invalid must be made again, but counts a little: others shall have their turn in between.
    """
    counts: dict[tuple[str, str], float] = defaultdict(float)
    for trial in made:
        counts[trial.kind, trial.name] += _INVALID_COUNTS if trial.status == "invalid" else 1.0
    return min(known, key=lambda one: counts[one.kind, one.name] / _TARGETS[one.kind])


def busy_patch(folder: Path, target: Path, microseconds: int) -> Path:
    """Write the patch that makes one endpoint slower by so much."""
    text = (folder / "busy.patch").read_text(encoding="utf-8")
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"busy-{microseconds}us.patch"
    path.write_text(text.replace("@MICROSECONDS@", str(microseconds)), encoding="utf-8")
    return path
