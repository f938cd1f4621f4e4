"""Which layer answers the cache look-ups, overall and over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


@dataclass(frozen=True)
class HitShares:
    """Shares of the look-ups that each layer answered; the layers of a moment add up to 1.

    Attributes
    ----------
    lookups : int
        Over the whole run.
    overall : mapping of str to float
        By layer: l1, l2, database.
    t_s : tuple of float
        The end of each interval.
    by_layer : mapping of str to tuple of float
        By layer, one share an interval; NaN where nothing was looked up.
    """

    lookups: int
    overall: Mapping[str, float]
    t_s: tuple[float, ...]
    by_layer: Mapping[str, tuple[float, ...]]


def hit_shares(cache: pd.DataFrame, *, family: str | None = None) -> HitShares:
    """Turn the service's counters into shares.

    Parameters
    ----------
    cache
        The run's cache table: counters since the service began, by layer and family, over time.
    family
        Only this one; None for all of them.
    """
    rows = cache if family is None else cache[cache["family"] == family]
    counters = rows.pivot_table(index="t_s", columns="layer", values="hits", aggfunc="sum").ffill().fillna(0)
    grown = counters.diff().iloc[1:].clip(lower=0)
    totals = grown.sum(axis=1)
    lookups = int(totals.sum())
    if not lookups:
        return HitShares(0, {}, (), {})
    shares = grown.div(totals.where(totals > 0), axis=0)
    overall = grown.sum() / lookups
    return HitShares(
        lookups=lookups,
        overall={str(layer): float(overall[layer]) for layer in grown.columns},
        t_s=tuple(float(t) for t in grown.index),
        by_layer={str(layer): tuple(shares[layer].astype(float)) for layer in grown.columns},
    )
