"""``adx-lab runs history``."""

from __future__ import annotations

from adx_lab.analysis.nights.ratio_series import series_of
from adx_lab.cli.console import print_json, print_table
from adx_lab.settings import read_settings
from adx_lab.store.rows import stored_rows


def show_history(*, scenario: str = "mixed", metric: str | None = None, json: bool = False) -> int:
    """Show when the ratios of the stored duets changed, between which commits, and why.

    Parameters
    ----------
    scenario
        Of the duets.
    metric
        Only this one, such as ``p50_ms``.
    json
        Print all series with their nights as one JSON document.
    """
    found = series_of(stored_rows(read_settings().store_url), scenario=scenario, metric=metric)
    if json:
        print_json(list(found))
        return 0
    rows = [
        (
            series.subject,
            series.metric,
            change.direction,
            f"{change.ratio - 1:+.1%} [{change.low - 1:+.1%}, {change.high - 1:+.1%}]",
            change.after.date,
            f"{change.before.commit[:10]}..{change.after.commit[:10]}",
            change.cause or "-",
        )
        for series in found
        for change in series.changes
    ]
    if rows:
        print_table(("subject", "metric", "became", "by", "since", "commits", "cause"), rows)
    nights = max((len(series.nights) for series in found), default=0)
    print(f"{len(rows)} changes in {len(found)} series of up to {nights} duets")
    return 0
