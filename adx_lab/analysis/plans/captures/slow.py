"""The plans that slow queries really had under load, joined with what the lab knows of them.

From the log of ``auto_explain``: which named query it was, which tenant it served and how large that is, and
which requests it made wait.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.analyse import analyse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from adx_lab.analysis.plans.records import PlanAnalysis, PlanDocument

_PARAMETER = re.compile(r"\$\d+ = (?:'((?:[^']|'')*)'|NULL)")
_CLOCKS_APART_S = 0.05
_DURATION_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """One execution above auto_explain's limit, with the plan it really had.

    ``query`` is its name, None for a statement that isn't a named one; ``tenant_rows`` how large its tenant
    is, None where no parameter is a known tenant's id.
    """

    query: str | None
    text: str
    tenant: str | None
    tenant_rows: float | None
    duration_ms: float | None
    at: datetime | None
    parameters: tuple[str | None, ...]
    analysis: PlanAnalysis


def slow_queries(
    documents: Iterable[PlanDocument], queries: Mapping[str, str], tenants: Mapping[str, float]
) -> tuple[SlowQuery, ...]:
    """Name what a log holds.

    Parameters
    ----------
    documents
        The log's plans, from `read_plans`.
    queries
        The text of each named query.
    tenants
        The number of rows (or users) of each tenant, by id.
    """
    names = {_squeezed(text): name for name, text in queries.items()}
    return tuple(_named(document, names, tenants) for document in documents)


def requests_that_waited(
    slow: Sequence[SlowQuery], samples: pd.DataFrame, timings: pd.DataFrame, began: datetime
) -> dict[int, int]:
    """Return for each slow query (its place in ``slow``) the row of the request that waited for it.

    A request fits if it was under way when the log line was written, and recorded a query of that name that
    took about as long; each of its queries is given away once.

    Parameters
    ----------
    samples, timings
        A run's ``samples`` and ``queries`` tables.
    began
        When the run began: what ``t_sent_s`` counts from.
    """
    found: dict[int, int] = {}
    taken: set[int] = set()
    for place, item in enumerate(slow):
        if item.at is None or item.duration_ms is None or item.query is None:
            continue
        rows = timings[timings["query"] == item.query]
        requests = samples.loc[rows["sample"]]
        moment = (item.at - began).total_seconds()
        sent = requests["t_sent_s"].to_numpy()
        done = sent + requests["service_ms"].to_numpy() / 1000
        apart = (rows["ms"].to_numpy() - item.duration_ms).__abs__()
        fits = (sent - _CLOCKS_APART_S <= moment) & (moment <= done + _CLOCKS_APART_S)
        fits &= apart <= item.duration_ms * _DURATION_SHARE
        candidates = sorted(
            (float(gap), int(timing), int(sample))
            for gap, timing, sample, fit in zip(apart, rows.index, rows["sample"], fits, strict=True)
            if fit and int(timing) not in taken
        )
        if candidates:
            _, timing, found[place] = candidates[0]
            taken.add(timing)
    return found


def _named(document: PlanDocument, names: Mapping[str, str], tenants: Mapping[str, float]) -> SlowQuery:
    text = document.query_text or ""
    listed = document.body.get("Query Parameters")
    parameters = tuple(
        _value(match) for match in _PARAMETER.finditer(listed if isinstance(listed, str) else "")
    )
    tenant = next((value for value in parameters if value in tenants), None)
    return SlowQuery(
        query=names.get(_squeezed(text)),
        text=text,
        tenant=tenant,
        tenant_rows=None if tenant is None else tenants[tenant],
        duration_ms=document.duration_ms,
        at=_moment(document.facts.get("timestamp")),
        parameters=parameters,
        analysis=analyse(document),
    )


def _value(match: re.Match[str]) -> str | None:
    return None if match.group(1) is None else match.group(1).replace("''", "'")


def _moment(stamp: object) -> datetime | None:
    """Read a log's time stamp; only UTC and numeric offsets can be read without a table of zones."""
    if not isinstance(stamp, str):
        return None
    for zone in (" UTC", " GMT", "Z"):
        stamp = stamp.removesuffix(zone) + "+00:00" if stamp.endswith(zone) else stamp
    try:
        moment = datetime.fromisoformat(stamp.replace(",", "."))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _squeezed(text: str) -> str:
    return " ".join(text.split()).rstrip("; ")
