"""The matrix: each endpoint of a stored duet made worse in each of ten ways, and what its verdict then says.

It takes minutes where live duets would take days, and asks what a calibration by live slowdowns can't:
whether every defect is found at every endpoint, the rare ones too. What is edited is the evidence of a real
duet, so that the noise is this machine's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adx_lab.analysis.duet.block_ratios import HEAD
from adx_lab.conduct.duet.judge import DuetEvidence, judge_duet

__all__ = ["DEFECTS", "DefectCell", "defective", "endpoints_of", "matrix"]

Defect = Callable[[DuetEvidence, str, np.random.Generator], DuetEvidence]


@dataclass(frozen=True)
class DefectCell:
    """One endpoint with one defect.

    Attributes
    ----------
    status : str
        Of the verdict.
    at : bool
        Whether a comparison that became worse is of that very endpoint.
    """

    defect: str
    endpoint: str
    status: str
    at: bool


def endpoints_of(evidence: DuetEvidence) -> tuple[str, ...]:
    """Return the endpoints that the load asks for."""
    samples = evidence.samples
    loop = samples[(samples["movement"] == "open").to_numpy()] if "movement" in samples else samples
    return tuple(sorted(set(loop["endpoint"].astype(str))))


def matrix(
    evidence: DuetEvidence, *, seed: int = 1, defects: Sequence[str] = (), endpoints: Sequence[str] = ()
) -> Iterator[DefectCell]:
    """Judge a duet with each defect at each endpoint.

    Parameters
    ----------
    evidence
        Of a duet of equals.
    seed
        Decides which requests a defect hits that hits some.
    defects, endpoints
        Which; all where left out.
    """
    rng = np.random.default_rng(seed)
    for defect in defects or DEFECTS:
        for endpoint in endpoints or endpoints_of(evidence):
            verdict = judge_duet(defective(evidence, defect, endpoint, rng)).verdict
            worse = {one.subject.split(" (")[0] for one in verdict.comparisons if one.status == "slower"}
            yield DefectCell(defect, endpoint, verdict.status, endpoint.split(" (")[0] in worse)


def defective(evidence: DuetEvidence, defect: str, endpoint: str, rng: np.random.Generator) -> DuetEvidence:
    """Return a duet whose head has a defect at an endpoint."""
    other = {**evidence.variants, HEAD: {**evidence.variants[HEAD], "identity": f"{defect} of {endpoint}"}}
    return DEFECTS[defect](replace(evidence, variants=other), endpoint, rng)


def _rows(evidence: DuetEvidence, endpoint: str, movements: Sequence[str] = ()) -> np.ndarray:
    samples = evidence.samples
    own = ((samples["variant"] == HEAD) & (samples["endpoint"] == endpoint)).to_numpy()
    if movements and "movement" in samples:
        own = own & samples["movement"].isin(list(movements)).to_numpy()
    return np.flatnonzero(own)


def _slower(evidence: DuetEvidence, rows: np.ndarray, factor: float) -> DuetEvidence:
    samples = evidence.samples.copy()
    for name in ("service_ms", "latency_ms", "server_ms"):
        if name in samples:
            values = samples[name].to_numpy(dtype=np.float64).copy()
            values[rows] *= factor
            samples[name] = values
    return replace(evidence, samples=samples)


def _twice(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
    return _slower(evidence, _rows(evidence, endpoint), 2.0)


def _tenth(evidence: DuetEvidence, endpoint: str, rng: np.random.Generator) -> DuetEvidence:
    rows = _rows(evidence, endpoint)
    return _slower(evidence, rows[rng.random(rows.size) < 0.1], 4.0)


def _tail(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
    """Double the slowest twentieth of each movement's requests."""
    worse = evidence
    samples = evidence.samples
    movements = sorted(set(samples["movement"])) if "movement" in samples else [""]
    for movement in movements:
        rows = _rows(evidence, endpoint, [movement] if movement else [])
        if rows.size:
            times = samples["service_ms"].to_numpy(dtype=np.float64)[rows]
            worse = _slower(worse, rows[times >= np.quantile(times, 0.95)], 2.0)
    return worse


def _cold(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
    return _slower(evidence, _rows(evidence, endpoint, ["cold"]), 5.0)


def _crowded(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
    return _slower(evidence, _rows(evidence, endpoint, ["burst"]), 3.0)


def _errors(evidence: DuetEvidence, endpoint: str, rng: np.random.Generator) -> DuetEvidence:
    rows = _rows(evidence, endpoint)
    rows = rows[rng.random(rows.size) < 0.5]
    samples = evidence.samples.copy()
    error, status = samples["error"].astype(object).to_numpy().copy(), samples["status"].to_numpy().copy()
    error[rows], status[rows] = "HTTP 500", 500
    return replace(evidence, samples=samples.assign(error=error, status=status))


def _bytes(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
    rows = _rows(evidence, endpoint)
    sizes = evidence.samples["bytes"].to_numpy().copy()
    sizes[rows] = sizes[rows] // 10
    return replace(evidence, samples=evidence.samples.assign(bytes=sizes))


def _counted(change: Callable[[pd.DataFrame], Mapping[str, pd.Series]]) -> Defect:
    def edit(evidence: DuetEvidence, endpoint: str, _: np.random.Generator) -> DuetEvidence:
        assert evidence.counts is not None
        counts = evidence.counts.copy()
        own = ((counts["variant"] == HEAD) & (counts["endpoint"] == endpoint)).to_numpy()
        for name, values in change(counts[own]).items():
            column = counts[name].to_numpy(dtype=np.float64).copy()
            column[own] = values.to_numpy(dtype=np.float64)
            counts[name] = column
        return replace(evidence, counts=counts)

    return edit


DEFECTS: Mapping[str, Defect] = {
    "twice the time": _twice,
    "half of it fails": _errors,
    # Of an endpoint that needed none: what ten queries instead of one are to another.
    "ten times the queries": _counted(
        lambda own: {"statements": own["statements"].where(own["statements"] > 0, own["requests"]) * 10}
    ),
    "a tenth of the bytes": _bytes,
    "100 MB more": _counted(lambda own: {"rss_mb": own["rss_mb"] + 100}),
    "three times the Valkey commands": _counted(
        lambda own: {
            "valkey_commands": own["valkey_commands"].where(own["valkey_commands"] > 0, own["requests"]) * 3
        }
    ),
    "only the p95": _tail,
    "a tenth of it 4 times slower": _tenth,
    "only when cold": _cold,
    "only in a crowd": _crowded,
}
"""What is done to head, by name."""
