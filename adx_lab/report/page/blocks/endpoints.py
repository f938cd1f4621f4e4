"""A block an endpoint: its percentiles, where its time goes, its slowest requests, its statements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.verdict import Verdict
from adx_lab.report.page.answer import endpoint_address, query_address, slower_endpoints, slug
from adx_lab.report.page.blocks.block import Drawable, Section, Words
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.sizes import size_words
from adx_lab.report.parts.table import Cell, Column, Table
from adx_lab.report.parts.words import part_words
from adx_lab.report.run.tables import tail_parts

_QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
_SLOWEST = 6
_NOTHING_MS = 0.005
_LAYERS = {"l1": "answered by L1", "l2": "answered by L2", "miss": "missed both", "none": "asked none"}


def endpoint_blocks(contents: Contents, verdict: Verdict) -> list[Section]:
    """Return a block for each endpoint, in the order of the verdict: what became slower first."""
    slower = slower_endpoints(verdict)
    names = sorted(_names(contents), key=lambda name: slower.index(name) if name in slower else len(slower))
    return [Section(f"endpoint-{slug(name)}", name, tuple(_shown(contents, verdict, name))) for name in names]


def _names(contents: Contents) -> list[str]:
    found: dict[str, None] = {}
    if contents.compared is not None and contents.compared.duel is not None:
        found |= {change.endpoint: None for change in contents.compared.duel.changes}
        found |= dict.fromkeys(sorted(set(contents.compared.duel.samples["endpoint"].astype("str"))))
    if contents.judgement is not None:
        found |= {row.subject: None for row in contents.judgement.endpoints}
    return list(found)


def _shown(contents: Contents, verdict: Verdict, name: str) -> Iterator[Drawable]:
    size = size_words(contents.compared, verdict.comparisons, name)
    if size:
        yield Words(f"Against the baseline: {size}.")
    percentiles = _percentiles(contents, name)
    if any(value is not None for row in percentiles.rows for value in row[1:]):
        yield percentiles
    yield from _time(contents, name)
    queries = _statements(contents, name)
    if queries.rows:
        yield Words("Its statements", "h3")
        yield queries
    slowest = _slowest(contents, name)
    if slowest.rows:
        yield Words("Its slowest requests", "h3")
        yield slowest


def _percentiles(contents: Contents, name: str) -> Table:
    """Return its percentiles: those of the load, and of both variants of the duet."""
    load = contents.judgement
    row = None if load is None else next((one for one in load.endpoints if one.subject == name), None)
    duel = None if contents.compared is None else contents.compared.duel
    times = {} if duel is None else {side: _times(duel.loaded, name, side) for side in (BASE, HEAD)}
    if duel is not None and not any(len(own) for own in times.values()):
        times = {side: _times(duel.alone, name, side) for side in (BASE, HEAD)}
    columns = [Column("percentile")]
    if row is not None:
        columns += [
            Column("in the load", "ms", "number"),
            Column("95% interval", "ms", "number", interval=True),
        ]
    if times:
        columns += [
            Column("base", "ms", "number"),
            Column("head", "ms", "number"),
            Column("change", kind="ratio"),
        ]
    rows = []
    for label, share in _QUANTILES:
        values: list[object] = [label]
        if row is not None:
            estimate = getattr(row, f"{label}_ms")
            values += [estimate.value, (estimate.low, estimate.high)]
        if times:
            before, after = (_quantile(times[side], share) for side in (BASE, HEAD))
            values += [before, after, after / before if before and after is not None else None]
        rows.append(tuple(values))
    return Table(tuple(columns), tuple(rows))


def _times(samples: pd.DataFrame, name: str, side: str) -> pd.Series[float]:
    kept = (
        (samples["endpoint"] == name).to_numpy() & (samples["variant"] == side).to_numpy() & ~failed(samples)
    )
    times: pd.Series[float] = samples.loc[kept, "service_ms"]
    return times


def _quantile(times: pd.Series[float], share: float) -> float | None:
    """Return a quantile that so many requests can tell."""
    return float(times.quantile(share)) if len(times) >= np.ceil(2 / (1 - share)) else None


def _time(contents: Contents, name: str) -> Iterator[Drawable]:
    duel = None if contents.compared is None else contents.compared.duel
    change = None if duel is None else next((one for one in duel.changes if one.endpoint == name), None)
    if change is not None:
        yield Words("Where the time goes that head takes longer", "h3")
        columns = (
            *(Column("part"), Column("longer by, mean", "ms", "number")),
            Column("among the slowest 5%", "ms", "number"),
        )
        rows = [
            (Cell(part.name, part_words(part.name)), part.change_ms, part.tail_ms)
            for part in change.parts
            if max(abs(part.change_ms), abs(part.tail_ms)) >= _NOTHING_MS
        ]
        yield Table(columns, tuple(rows)).linked("part", lambda part: _query_or_none(contents, part))
        return
    tails = [] if contents.judgement is None else [t for t in contents.judgement.tails if t.subject == name]
    if tails:
        yield Words("Where its slowest 5% spend their time", "h3")
        table = tail_parts(tails)
        keep = [
            place
            for place, column in enumerate(table.columns)
            if column.name not in {"endpoint", "slowest", "from"}
        ]
        yield Table(
            tuple(table.columns[place] for place in keep),
            tuple(tuple(row[place] for place in keep) for row in table.rows),
        ).linked("part", lambda part: _query_or_none(contents, part))


def _query_or_none(contents: Contents, part: str) -> str | None:
    return query_address(part) if contents.plans is not None and part in contents.plans.queries else None


def _statements(contents: Contents, name: str) -> Table:
    """Return what one request asks the database."""
    columns = (
        *(
            Column("query", kind="code"),
            Column("calls a request", kind="number"),
            Column("a call", "ms", "number"),
        ),
        *(Column("calls, base", kind="number"), Column("a call, base", "ms", "number")),
    )
    duel = None if contents.compared is None else contents.compared.duel
    change = None if duel is None else next((one for one in duel.changes if one.endpoint == name), None)
    if change is not None:
        rows = [(q.query, q.head_calls, q.head_ms, q.base_calls, q.base_ms) for q in change.queries]
        return Table(columns, tuple(rows)).linked("query", lambda query: _query_or_none(contents, query))
    if contents.judgement is None:
        return Table(columns, ())
    samples, queries = contents.judgement.samples, contents.judgement.queries
    own = np.flatnonzero((samples["endpoint"] == name).to_numpy())
    asked = queries[np.isin(queries["sample"].to_numpy(), own)]
    grouped = (
        asked.groupby("query", observed=True)["ms"].agg(["size", "mean"]).sort_values("size", ascending=False)
    )
    rows_ = [(str(query), row["size"] / max(1, len(own)), row["mean"]) for query, row in grouped.iterrows()]
    return Table(columns[:3], tuple(rows_)).linked("query", lambda query: _query_or_none(contents, query))


def _slowest(contents: Contents, name: str) -> Table:
    """Return its slowest requests, with the query that took the longest in each."""
    if contents.judgement is not None:
        samples, queries = contents.judgement.samples, contents.judgement.queries
        slow = {row: place for place, row in contents.judgement.sufferers.items()}
        executed = contents.judgement.slow_queries
    else:
        assert contents.compared is not None
        assert contents.compared.duel is not None
        samples, queries = contents.compared.duel.samples, contents.compared.duel.run.table("queries")
        samples = samples[(samples["variant"] == HEAD).to_numpy()]
        slow, executed = {}, ()
    own = samples[(samples["endpoint"] == name).to_numpy()].nlargest(_SLOWEST, "latency_ms")
    columns = (
        *(Column("at", "s", "number"), Column("latency", "ms", "number"), Column("service", "ms", "number")),
        *(Column("database", "ms", "number"), Column("cache"), Column("status", kind="number")),
        *(Column("longest query", kind="code"), Column("took", "ms", "number"), Column("plan it had")),
    )
    rows = []
    for place, row in own.iterrows():
        asked = queries[(queries["sample"] == place).to_numpy()]
        longest = asked.iloc[int(asked["ms"].to_numpy().argmax())] if len(asked) else None
        had = slow.get(int(str(place)))
        rows.append(
            (
                *(row["t_sent_s"], row["latency_ms"], row["server_ms"], row["db_ms"]),
                *(_LAYERS.get(str(row["cache"]), str(row["cache"])), int(row["status"])),
                *((None, None) if longest is None else (str(longest["query"]), float(longest["ms"]))),
                None if had is None else executed[had].query,
            )
        )
    table = Table(columns, tuple(rows), address=f"endpoint-{slug(name)}-slowest")
    table = table.linked("longest query", lambda query: _query_or_none(contents, query))
    return table.linked(
        "plan it had", lambda query: f"{query_address(query)}-slow" if query != "None" else None
    )


def link_endpoints(table: Table, name: str = "endpoint") -> Table:
    """Return a table whose endpoints lead to their blocks."""
    return table.linked(name, lambda text: endpoint_address(text) if text != "all" else None)
