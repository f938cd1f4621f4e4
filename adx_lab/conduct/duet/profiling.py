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
COLUMNS = pa.schema(
    [("block", pa.int32()), ("variant", pa.string()), ("stack", pa.string()), ("samples", pa.int64())]
)


@dataclass
class Profiling:
    """The samplers of one block.

    Attributes
    ----------
    wanted
        Whether to sample at all.
    command
        What prints folded stacks; None samples Python.
    trouble
        Why nothing was seen.
    """

    wanted: bool
    command: str | None = None
    trouble: str | None = None
    _sampler: Sampler | None = None

    def start(self, pids: Mapping[str, Sequence[int]], *, seconds: float) -> None:
        """Begin, where both variants' processes are known."""
        if not self.wanted or not all(pids.get(side) for side in SIDES):
            return
        sampler = Sampler(self.command)
        try:
            sampler.start(pids, seconds=seconds)
        except MeasurementError as error:
            # A duet without functions is a duet all the same; it says why it has none.
            self.trouble = error.message
            sampler.close()
        else:
            self._sampler = sampler

    async def stop(self) -> dict[str, Sampled]:
        """End, and return what was seen by side; nothing where nothing was."""
        if self._sampler is None:
            return {}
        try:
            return await self._sampler.stop()
        except MeasurementError as error:
            self.trouble = error.message
            return {}
        finally:
            self.close()

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
        self,
        number: int,
        seen: Mapping[str, Sampled],
        roots: Mapping[str, Path | None],
        requests: Mapping[str, int],
    ) -> dict[str, dict[str, Any]]:
        """Keep a block's stacks; return by side what its companions keep beside them."""
        told: dict[str, dict[str, Any]] = {}
        functions: set[Function] = set()
        for side, one in seen.items():
            root = roots.get(side)
            for stack, samples in one.stacks.items():
                row = {"block": number, "variant": side, "stack": folded(stack), "samples": samples}
                self.rows.append(row)
            functions |= set(costs_of(one.profile(max(1, requests[side]), root)))
            told[side] = {
                "cpu_us": one.cpu_us,
                "requests": requests[side],
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
        base, head = (self._text(side, roots.get(side), function.file) for side in SIDES)
        return lines_differ(function.name, base, head)

    def _text(self, side: str, root: Path | None, file: str) -> str | None:
        key = (side, file)
        if key not in self._texts:
            try:
                self._texts[key] = None if root is None else (root / file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                self._texts[key] = None
        return self._texts[key]
