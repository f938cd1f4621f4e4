"""The figures of one block of a duet in which the rule is kept on one side and broken on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.pair_ratios import METRIC, pair_series
from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.stats.quantiles import harrell_davis
from adx_lab.analysis.switches.worth import RuleBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["figures_of_block"]

_QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95}
_REQUESTS_MIN = 20


def figures_of_block(
    samples: pd.DataFrame, queries: pd.DataFrame, cpu_s: Mapping[str, float], *, endpoint: str
) -> RuleBlock:
    """Reduce a block to figures.

    Parameters
    ----------
    samples, queries
        Of one block, with both variants.
    cpu_s
        What the core's processes used on each side.
    endpoint
        The one that shows the rule. Figures with a plain name are its; those of others carry their name:
        ``bytes GET /users``.

    Returns
    -------
    RuleBlock
        ``p50_ms``, ``p95_ms``, ``queries`` (database queries a request), ``bytes``, ``valkey_ms``,
        ``query_p95_ms`` (of all its queries), and ``cpu_us`` a request over all endpoints. The ratio of
        ``p50_ms`` is that of the pairs.
    """
    usable = samples[~failed(samples)]
    sides = {side: usable[(usable["variant"] == side).to_numpy()] for side in (BASE, HEAD)}
    made = {side: _of_side(own, queries, endpoint) for side, own in sides.items()}
    for side, own in sides.items():
        if len(own) and cpu_s[side] > 0:
            made[side]["cpu_us"] = 1e6 * cpu_s[side] / len(own)
    ratios = {
        one.subject: one.log_ratio[0] for one in pair_series(samples.assign(block=1)) if one.metric == METRIC
    }
    paired = {"p50_ms": ratios[endpoint]} if endpoint in ratios else {}
    return RuleBlock(made[BASE], made[HEAD], paired)


def _of_side(own: pd.DataFrame, queries: pd.DataFrame, endpoint: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, some in own.groupby("endpoint", observed=True):
        mark = "" if name == endpoint else f" {name}"
        times = np.sort(some["service_ms"].to_numpy(dtype=np.float64))
        if times.size >= _REQUESTS_MIN:
            figures |= {f"{metric}{mark}": harrell_davis(times, p) for metric, p in _QUANTILES.items()}
        figures[f"queries{mark}"] = float(some["db_queries"].mean())
        figures[f"bytes{mark}"] = float(some["bytes"].mean())
        figures[f"valkey_ms{mark}"] = float(some["valkey_ms"].mean())
        executed = queries[queries["sample"].isin(some.index)]["ms"].to_numpy(dtype=np.float64)
        if executed.size >= _REQUESTS_MIN:
            figures[f"query_p95_ms{mark}"] = harrell_davis(np.sort(executed), 0.95)
    return figures
