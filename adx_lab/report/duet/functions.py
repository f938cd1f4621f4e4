"""What the functions of both variants cost, as a stored duet sampled them."""

from __future__ import annotations

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.functions.comparison import compare_functions
from adx_lab.analysis.functions.stacks import StackProfile
from adx_lab.analysis.functions.stored import PROFILED, known_lines, profiles_of
from adx_lab.report.duet.flame import FlameGraph, flame_graph
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.parts.table import Column, Table
from adx_lab.store.folders import PROFILES

_ROWS = 20
_LINES = {True: "differ", False: "the same", None: "–"}


def sampled_blocks(duel: Duel) -> tuple[tuple[StackProfile, StackProfile], ...]:
    """Return the profiles of base and head, by block and endpoint; none where nobody sampled."""
    if not (duel.run.folder / f"{PROFILES}.parquet").exists():
        return ()
    numbers = [int(one["block"]) for one in duel.record.duet.blocks]
    return profiles_of(duel.run.table(PROFILES), duel.run.companions(), numbers)


def functions_table(duel: Duel) -> Table:
    """Return the functions whose own time differs the most, microseconds a request."""
    columns = (
        *(Column("function", kind="code"), Column("where", kind="code"), Column("endpoint")),
        *(Column("base", "µs", "number"), Column("head", "µs", "number"), Column("change", "µs", "number")),
        Column("95% interval", "µs", "number", interval=True),
        *(Column("p", kind="number"), Column("became"), Column("its lines")),
    )
    lines = known_lines(duel.run.companions())
    changes = sorted(compare_functions(sampled_blocks(duel)), key=lambda one: -abs(one.change_us))
    rows = (
        (
            *(one.function.name, f"{one.function.file}:{one.line}" if one.line else one.function.file),
            one.endpoint or "all",
            *(one.base_us, one.head_us, one.change_us, (one.low_us, one.high_us), one.p, one.status),
            _LINES[lines.get(one.function)],
        )
        for one in changes[:_ROWS]
    )
    return Table(columns, tuple(rows))


def sampling_table(duel: Duel) -> Table:
    """Return what sampling saw, and what it cost the machine."""
    columns = (
        *(Column("variant"), Column("times sampled", kind="number"), Column("requests", kind="number")),
        *(Column("samples", kind="number"), Column("torn", kind="number")),
        Column("the sampler's share of a processor", kind="share"),
    )
    rows = []
    blocks = sampled_blocks(duel)
    for place, side in enumerate((BASE, HEAD)):
        told = [asked for one in duel.run.companions() for asked in (one[side].get(PROFILED) or {}).values()]
        if not told:
            continue
        seconds = sum(one["seconds"] for one in told)
        spent_s = sum(one["sampler_cpu_share"] * one["seconds"] for one in told)
        rows.append(
            (
                *(side, len(told), sum(one["requests"] for one in told)),
                *(sum(pair[place].samples for pair in blocks), sum(one["errors"] for one in told)),
                spent_s / max(seconds, 1e-9),
            )
        )
    return Table(columns, tuple(rows))


def flame(duel: Duel) -> FlameGraph | None:
    """Return the differential flame graph; None where nobody sampled."""
    blocks = sampled_blocks(duel)
    if not blocks:
        return None
    base, head = duel.record.variants
    return flame_graph(blocks, base=base, head=head)
