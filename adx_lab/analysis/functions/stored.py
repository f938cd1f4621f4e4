"""Profiles as a run keeps them: rows of folded stacks, and beside each block what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adx_lab.analysis.functions.stacks import Function, StackProfile, read_frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from adx_lab.analysis.functions.stacks import Stack

__all__ = ["PROFILED", "folded", "known_lines", "profiles_of"]

PROFILED = "profiled"
"""What a block's companions keep of a variant's profiles, by the endpoint that was asked meanwhile."""

_LINES = "lines_differ"


def folded(stack: Stack) -> str:
    """Return a stack as one text, the outermost frame first."""
    return ";".join(f"{one.name} ({one.file}:{one.line})" if one.file else one.name for one in stack)


def profiles_of(
    rows: pd.DataFrame,
    companions: Sequence[Mapping[str, Mapping[str, Any]]],
    numbers: Sequence[int],
) -> tuple[tuple[StackProfile, StackProfile], ...]:
    """Return the profiles of base and head, of each block and each endpoint that was sampled.

    Parameters
    ----------
    rows
        With `block`, `variant`, `endpoint`, `stack` and `samples`.
    companions, numbers
        Of all blocks, and what they are numbered.
    """
    stacks: dict[tuple[int, str, str], dict[Stack, int]] = {}
    known: dict[str, Stack] = {}
    for block, variant, endpoint, text, samples in zip(
        *(rows[name].tolist() for name in ("block", "variant", "endpoint", "stack", "samples")), strict=True
    ):
        if text not in known:
            known[text] = read_frames(text)
        stacks.setdefault((block, variant, endpoint), {})[known[text]] = samples
    pairs = []
    for number, sides in zip(numbers, companions, strict=True):
        told = [sides[side].get(PROFILED) or {} for side in ("base", "head")]
        for endpoint in sorted(told[0].keys() & told[1].keys()):
            base, head = (
                StackProfile(
                    stacks.get((number, side, endpoint), {}),
                    one[endpoint]["cpu_us"],
                    one[endpoint]["requests"],
                    one[endpoint]["root"],
                    endpoint,
                    waiting=one[endpoint].get("waiting", False),
                )
                for side, one in zip(("base", "head"), told, strict=True)
            )
            pairs.append((base, head))
    return tuple(pairs)


def known_lines(companions: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[Function, bool | None]:
    """Return of each function that was seen whether its lines differ between the variants."""
    found: dict[Function, bool | None] = {}
    for sides in companions:
        for told in (sides["head"].get(PROFILED) or {}).values():
            for file, name, differs in told.get(_LINES) or ():
                found[Function(name, file)] = differs
    return found
