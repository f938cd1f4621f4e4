"""``adx-lab runs history``."""

from __future__ import annotations

from adx_lab.cli.console import print_json, print_table
from adx_lab.settings import read_settings


def show_history(*, scenario: str | None = None, metric: str | None = None, json: bool = False) -> int:
    """Show when the ratios of the stored duets changed, between which commits, and why.

    Parameters
    ----------
    scenario
        Of the duets; left out, the project file's own, or mixed.
    metric
        Only this one, such as ``p50_ms``.
    json
        Print all series with their nights as one JSON document.
    """
    from adx_lab.analysis.nights.ratio_series import series_of, unjudged_nights
    from adx_lab.conduct.run.request import usual_scenario
    from adx_lab.report.nights.night_series import changes_of
    from adx_lab.store.rows import stored_rows

    settings = read_settings()
    chosen = scenario or usual_scenario(settings)
    rows = stored_rows(settings)
    found = series_of(rows, scenario=chosen, metric=metric)
    if json:
        print_json(list(found))
        return 0
    table = changes_of(found)
    if table.rows:
        print_table(table)
    nights = max((len(series.nights) for series in found), default=0)
    lost = unjudged_nights(rows, chosen)
    print(f"{len(table.rows)} changes in {len(found)} series of up to {nights} duets; {len(lost)} invalid")
    for night in lost:
        print(f"invalid: {night.run_id} of {night.date} at {night.commit[:10] or 'no commit'}")
    return 0
