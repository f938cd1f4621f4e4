"""How much slower an endpoint became, in words: its times before and after, with their interval."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from adx_lab.analysis.duet.block_ratios import BASE
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.pair_ratios import METRIC as PAIR
from adx_lab.analysis.duet.pair_ratios import MOVEMENT_METRICS
from adx_lab.analysis.run.latency import failed
from adx_lab.report.page.measured_night import NightDuet
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import change
from adx_lab.report.parts.words import metric_words, quantity

_WAYS = {
    "p50_ms": "p50 is ",
    "p95_ms": "p95 is ",
    "p99_ms": "p99 is ",
    "cold_ms": "with nothing cached ",
    "burst_ms": "many at once, each ",
    "serial_server_ms": "the server takes ",
}
"""How a time was asked for, where it is not the usual one."""


def size_words(compared: NightDuet | None, comparisons: Sequence[Comparison], endpoint: str) -> str:
    """Return an endpoint's times before and after with their interval, and the change."""
    own = [one for one in comparisons if one.subject == endpoint and one.low is not None]
    own.sort(key=lambda one: (one.status != "slower", not one.metric.endswith("_ms"), not one.gate))
    if not own:
        return ""
    said = size_of(compared, own[0])
    if own[0].metric.endswith("_ms"):
        return said
    times = [one for one in own if one.metric in {PAIR, MOVEMENT_METRICS["serial"]}]
    return "; ".join([said, *(size_of(compared, one) for one in times[:1])])


def size_of(compared: NightDuet | None, one: Comparison) -> str:
    """Return what one comparison says: before and after, the interval, and the change."""
    before, after = _before_and_after(compared, one)
    unit = one.unit
    if one.ratio is None or not one.metric.endswith("_ms"):
        if before is None or after is None:
            return f"{metric_words(one.metric)} differs"
        return f"{metric_words(one.metric)}: {quantity(after, unit)} instead of {quantity(before, unit)}"
    ratio = change(one.ratio - 1)
    if before is None:
        return f"{ratio} against the baseline"
    low, high = (None if end is None else before * end for end in (one.low, one.high))
    between = "" if low is None or high is None else f" ({number(low)} to {number(high)})"
    # The ratio is of pairs, as its interval is: two medians need not differ by as much.
    after = before * one.ratio
    return f"{_WAYS.get(one.metric, '')}{number(after)} ms{between} instead of {number(before)} ms, {ratio}"


def _before_and_after(compared: NightDuet | None, one: Comparison) -> tuple[float | None, float | None]:
    """Return base's and head's time: the verdict's own, or base's median with the ratio that was found."""
    if one.base is not None and one.head is not None:
        return one.base, one.head
    if compared is None or compared.duel is None or not one.metric.endswith("_ms"):
        return None, None
    samples: pd.DataFrame = compared.duel.loaded
    own = samples[
        ~failed(samples)
        & (samples["variant"] == BASE).to_numpy()
        & (samples["endpoint"] == one.subject).to_numpy()
    ]
    share = {"p95_ms": 0.95, "p99_ms": 0.99}.get(one.metric, 0.5)
    if own.empty or one.ratio is None:
        return None, None
    base_ms = float(own["service_ms"].quantile(share))
    return base_ms, base_ms * one.ratio
