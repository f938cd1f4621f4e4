"""Stacks as a sampler saw them, and what each function of the service costs a request.

A sample says which function was computing; its share of the samples, of all the time that they stand for, is
the function's. What a library computes is charged to the service's function that called it: that is the one
somebody can change.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "OUTSIDE",
    "Frame",
    "Function",
    "FunctionCost",
    "Stack",
    "StackProfile",
    "costs_of",
    "read_folded",
    "read_frames",
    "relative",
]

_FRAME = re.compile(r"^(?P<name>.+?) \((?P<file>.+?)(?::(?P<line>\d+))?\)$")
_LIBRARIES = frozenset(("site-packages", "dist-packages", "node_modules", ".venv", "venv", "vendor"))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack; a sampler that knows no files leaves them empty."""

    name: str
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the service, the same in both variants: its name, and its file within the source."""

    name: str
    file: str = ""


Stack = tuple[Frame, ...]
"""From the outermost frame to the innermost."""

OUTSIDE = Function("(outside of the service)")


@dataclass(frozen=True)
class StackProfile:
    """What was sampled of one variant in one block.

    Attributes
    ----------
    stacks : mapping
        Samples by stack.
    cpu_us : float
        What all samples together stand for: at a known rate so many parts of a second; else what the sampled
        processes computed meanwhile, as the kernel counted it.
    requests : int
        How many they answered meanwhile.
    root : str
        The folder of the service's source; empty where files are told within it already.
    endpoint : str
        The only one that was asked meanwhile; empty where that was the whole load.
    waiting : bool
        Whether threads that wait were seen, too: then it is time, and not only computing.
    """

    stacks: Mapping[Stack, int]
    cpu_us: float
    requests: int
    root: str = ""
    endpoint: str = ""
    waiting: bool = False

    @property
    def samples(self) -> int:
        """All of them."""
        return sum(self.stacks.values())


@dataclass
class FunctionCost:
    """What a function costs, microseconds a request.

    Attributes
    ----------
    self_us : float
        In its own lines, and in libraries that it calls.
    inclusive_us : float
        With the service's functions that it calls, too.
    lines : dict
        Microseconds a request by line; of a library's time, the line that called it.
    callers : dict
        Microseconds a request of self time by the function that called it.
    """

    self_us: float
    inclusive_us: float
    lines: dict[int, float]
    callers: dict[Function, float]


def read_folded(text: str) -> dict[Stack, int]:
    """Read folded stacks: frames with ``;`` between them, outermost first, a space, and a number of samples.

    A line without frames is a thread that computes in no function known to the sampler, such as one of a
    server's own in another language.

    Raises
    ------
    ValueError
        A line has no number at its end.
    """
    stacks: Counter[Stack] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        frames, _, count = line.rpartition(" ")
        if not count.isdigit() or not (frames or line.startswith(" ")):
            raise ValueError(
                f"line {number} of the folded stacks ends with no number of samples: {line[:60]!r}"
            )
        stacks[read_frames(frames)] += int(count)
    return dict(stacks)


def read_frames(text: str) -> Stack:
    """Read one folded stack."""
    if not text.strip():
        return ()
    return tuple(_frame(frame) for frame in text.split(";"))


def _frame(text: str) -> Frame:
    found = _FRAME.match(text.strip())
    if found is None:
        return Frame(text.strip())
    return Frame(found["name"], found["file"], int(found["line"] or 0))


def relative(file: str, root: str) -> str | None:
    """Return a file within the service's source, or None for a library's, or the interpreter's."""
    path = PurePosixPath(file)
    if file.startswith("<") or _LIBRARIES & set(path.parts):
        return None
    if not root:
        return file
    return str(path.relative_to(root)) if path.is_relative_to(root) else None


def costs_of(profile: StackProfile) -> dict[Function, FunctionCost]:
    """Return what each function of the service costs a request.

    Where no frame tells a file (another language's sampler), every function counts as the service's own.
    """
    total = profile.samples
    if total == 0 or profile.requests <= 0:
        return {}
    each_us = profile.cpu_us / total / profile.requests
    located = any(frame.file for stack in profile.stacks for frame in stack)
    loops = _loops(profile) if located else frozenset()
    costs: dict[Function, FunctionCost] = defaultdict(
        lambda: FunctionCost(0.0, 0.0, defaultdict(float), defaultdict(float))
    )
    known: dict[Frame, Function | None] = {}
    for stack, samples in profile.stacks.items():
        waits = _waits(stack, profile.root, loops)
        own = [] if waits else list(_own(stack, profile.root, known, located=located))
        spent_us = samples * each_us
        function, line = own[-1] if own else (OUTSIDE, 0)
        innermost = costs[function]
        innermost.self_us += spent_us
        innermost.lines[line] += spent_us
        callers = [caller for caller, _ in own if caller != function]
        if callers:
            innermost.callers[callers[-1]] += spent_us
        for one in {function, *callers}:
            costs[one].inclusive_us += spent_us
    return dict(costs)


def _loops(profile: StackProfile) -> frozenset[tuple[Frame, str]]:
    """Return where the service hands itself over to a server that calls it back for each request.

    What such a server computes by itself, and what it seems to compute while it waits, is nobody's.
    """
    return frozenset(
        (stack[place], stack[place + 1].name)
        for stack in profile.stacks
        if (place := _handed_over(stack, profile.root)) is not None
        and any(relative(frame.file, profile.root) is not None for frame in stack[place + 1 :] if frame.file)
    )


def _waits(stack: Stack, root: str, loops: frozenset[tuple[Frame, str]]) -> bool:
    """Tell whether a stack lies in a server's own frames, and in none of the service's below them."""
    place = _handed_over(stack, root) if loops else None
    if place is None or (stack[place], stack[place + 1].name) not in loops:
        return False
    return not any(relative(frame.file, root) is not None for frame in stack[place + 1 :] if frame.file)


def _handed_over(stack: Stack, root: str) -> int | None:
    """Return the place of the first frame of the service that calls a library."""
    mine = [bool(frame.file) and relative(frame.file, root) is not None for frame in stack]
    return next((place for place, (own, below) in enumerate(pairwise(mine)) if own and not below), None)


def _own(
    stack: Stack, root: str, known: dict[Frame, Function | None], *, located: bool
) -> Iterable[tuple[Function, int]]:
    for frame in stack:
        if frame not in known:
            file = relative(frame.file, root) if frame.file else None if located else ""
            known[frame] = None if file is None else Function(frame.name, file)
        function = known[frame]
        if function is not None:
            yield function, frame.line
