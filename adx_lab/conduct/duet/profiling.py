"""Sample both variants of a block while they are loaded, and keep what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.functions.sources import lines_differ
from adx_lab.analysis.functions.stacks import OUTSIDE, Function, costs_of
from adx_lab.analysis.functions.stored import folded
from adx_lab.capture.profiles.sampler import Sampled, Sampler
from adx_lab.errors import MeasurementError

SIDES = (BASE, HEAD)
_NAMES = ("variant", "endpoint", "stack")
COLUMNS = pa.schema(
    [("block", pa.int32()), *((name, pa.string()) for name in _NAMES), ("samples", pa.int64())]
)


@dataclass(frozen=True)
class SampledEndpoint:
    """What was sampled while one endpoint was asked; an empty one is all of the load.

    Attributes
    ----------
    seen
        By side.
    requests
        By side, how many were answered meanwhile.
    waiting
        Whether waiting threads were seen, too.
    """

    endpoint: str
    seen: Mapping[str, Sampled]
    requests: Mapping[str, int]
    waiting: bool = False


@dataclass(eq=False)
class Profiling:
    """The samplers of one block.

    Attributes
    ----------
    command
        What prints folded stacks; None samples Python.
    trouble
        Why nothing was seen.
    waiting
        Whether threads that wait are seen, too.
    """

    command: str | None = None
    trouble: str | None = None
    waiting: bool = False
    _sampler: Sampler | None = None
    _idle: set[int] = field(default_factory=set)
    """Processes that computed nothing so far: a sampler for each would cost more than they do."""

    def start(self, pids: Mapping[str, Sequence[int]], *, seconds: float) -> None:
        """Begin, where both variants' processes are known."""
        if not all(pids.get(side) for side in SIDES):
            self.trouble = "functions can't be sampled: nobody knows the variants' processes"
            return
        pids = {side: [pid for pid in own if pid not in self._idle] for side, own in pids.items()}
        sampler = Sampler(self.command, waiting=self.waiting)
        try:
            sampler.start(pids, seconds=seconds)
        except MeasurementError as error:
            # A duet without functions is a duet all the same; it says why it has none.
            self.trouble = error.message
            sampler.close()
        else:
            self._sampler = sampler

    def stop(self) -> dict[str, Sampled]:
        """End, and return what was seen by side; nothing where nothing was."""
        if self._sampler is None:
            return {}
        try:
            seen = self._sampler.stop()
        except MeasurementError as error:
            self.trouble = error.message
            return {}
        finally:
            self.close()
        self._idle |= {pid for one in seen.values() for pid in one.idle}
        return seen

    def close(self) -> None:
        """Leave no sampler behind."""
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None


@dataclass
class Profiles:
    """What was sampled in all blocks so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _texts: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def add(
        self, number: int, asked: SampledEndpoint, roots: Mapping[str, Path | None]
    ) -> dict[str, dict[str, Any]]:
        """Keep a block's stacks; return by side what its companions keep beside them."""
        told: dict[str, dict[str, Any]] = {}
        functions: set[Function] = set()
        for side, one in asked.seen.items():
            root = roots.get(side)
            for stack, samples in one.stacks.items():
                where = {"block": number, "variant": side, "endpoint": asked.endpoint}
                self.rows.append({**where, "stack": folded(stack), "samples": samples})
            functions |= set(costs_of(one.profile(max(1, asked.requests[side]), root)))
            told[side] = {
                "cpu_us": one.spent_us,
                "requests": asked.requests[side],
                "waiting": asked.waiting,
                "root": "" if root is None else str(root),
                "seconds": one.seconds,
                "errors": one.errors,
                "sampler_cpu_share": one.sampler_cpu_us / 1e6 / max(one.seconds, 1e-9),
            }
        if HEAD in told:
            ordered = sorted(functions - {OUTSIDE}, key=lambda one: (one.file, one.name))
            told[HEAD]["lines_differ"] = [(one.file, one.name, self._differs(one, roots)) for one in ordered]
        return told

    def table(self) -> pa.Table:
        """Return all stacks."""
        return pa.Table.from_pylist(self.rows, schema=COLUMNS)

    def _differs(self, function: Function, roots: Mapping[str, Path | None]) -> bool | None:
        base, head = (self.text(side, roots.get(side), function.file) for side in SIDES)
        return lines_differ(function.name, base, head)

    def text(self, side: str, root: Path | None, file: str) -> str | None:
        """Return a file of a variant's source; None where it has none."""
        key = (side, file)
        if key not in self._texts:
            try:
                self._texts[key] = None if root is None else (root / file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                self._texts[key] = None
        return self._texts[key]
