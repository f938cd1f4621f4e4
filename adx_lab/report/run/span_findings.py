"""What a run's spans show by themselves: statements that a request asks again and again, and slow ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from adx_lab.analysis.spans.findings import span_findings
from adx_lab.analysis.spans.spans import SpanSplit
from adx_lab.analysis.verdict import Finding
from adx_lab.report.run.judged_run import Judgement


def findings_of_spans(judgement: Judgement) -> tuple[Finding, ...]:
    """Return what is wrong by the spans of a run alone; nothing where its service sends none."""
    service = judgement.record.settings.get("service") or {}
    return span_findings(_requests(judgement)) if service.get("timing") == "otel" else ()


def _requests(judgement: Judgement) -> Iterator[tuple[str, SpanSplit]]:
    """Yield endpoint and split of each request that was traced, as the run's tables keep them."""
    samples, queries = judgement.samples, judgement.queries
    asked: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for row, query, ms in zip(queries["sample"], queries["query"], queries["ms"], strict=True):
        asked[int(row)].append((str(query), float(ms)))
    told = samples["server_ms"].notna().to_numpy()
    for row, endpoint, server_ms in zip(
        told.nonzero()[0], samples["endpoint"][told], samples["server_ms"][told], strict=True
    ):
        yield str(endpoint), SpanSplit(float(server_ms), queries=tuple(asked.get(int(row), ())))
