"""How much a machine carries: its knee, the law by which it scales, and the users that it can serve.

Each step of a climbing load gives a throughput X and, by Little's law, a mean number of requests in the
service N = X · R. Gunther's universal scalability law,

    X(N) = λN / (1 + σ(N − 1) + κN(N − 1)),

says why throughput stops growing with N: σ is the share of work that must queue for something shared, κ what
the workers pay to agree with one another. Beyond N* = √((1 − σ)/κ) more load makes the service slower. The
law is fitted by least squares of the logs, so that each step counts by its relative error.

Sources
-------
J. D. C. Little: A proof for the queuing formula L = λW. Operations Research 9 (1961).
N. J. Gunther: Guerrilla Capacity Planning. Springer (2007), chapters 4 to 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from adx_lab.analysis.run.latency import failed
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "ScalabilityLaw",
    "Step",
    "capacity_steps",
    "fit_scalability",
    "knee_place",
    "throughput_at",
    "users_carried",
]

STEPS_MIN = 4
_KAPPA_MIN = 1e-9

BEYOND = Caveat("extrapolated", "the peak lies beyond what was measured: the law says so, nobody saw it")
NO_PEAK = Caveat("no-peak", "throughput still grew in proportion: the law shows no peak yet")


@dataclass(frozen=True)
class Step:
    """One step of a climbing load.

    Attributes
    ----------
    offered_per_s, answered_per_s : float
        Requests a second that were sent, and that were answered in the step.
    latency_ms, p95_ms : float
        Mean and 95th percentile from the intended start.
    concurrency : float
        Requests in the service on average: `answered_per_s` times the mean latency (Little).
    broken : tuple of str
        The metrics that broke their budget.
    """

    offered_per_s: float
    answered_per_s: float
    latency_ms: float
    p95_ms: float
    concurrency: float
    broken: tuple[str, ...] = ()


def knee_place(broken: Sequence[bool]) -> int:
    """Return the place of the last step before the first that broke a budget; -1 where even the first did."""
    return next((place for place, broke in enumerate(broken) if broke), len(broken)) - 1


@dataclass(frozen=True)
class ScalabilityLaw:
    """Gunther's law, fitted.

    Attributes
    ----------
    rate_per_s : float
        λ: what one request at a time would get through.
    contention, coherence : float
        σ and κ.
    peak_concurrency, peak_per_s : float or None
        Where throughput is highest, and how high; None where the law shows no peak.
    error : float
        Root mean square of the relative errors of the steps' throughput.
    caveats : tuple of Caveat
    """

    rate_per_s: float
    contention: float
    coherence: float
    peak_concurrency: float | None
    peak_per_s: float | None
    error: float
    caveats: tuple[Caveat, ...] = ()


def capacity_steps(
    samples: pd.DataFrame, told: Sequence[Mapping[str, Any]], seconds: Sequence[float]
) -> tuple[Step, ...]:
    """Put the steps of a climbing load together from its samples and what the generator told of each.

    Parameters
    ----------
    samples
        One row a request, on the run's clock, whose zero is the beginning of the first step.
    told
        For each step in order `rate_per_s`, `answered_per_s` and `broken`.
    seconds
        How long each step lasts; there may be more of them than were sent.

    Returns
    -------
    tuple of Step
        Without steps in which nothing was answered.
    """
    at = np.searchsorted(np.cumsum(seconds), samples["t_intended_s"].to_numpy(dtype=np.float64), side="right")
    latency = samples["latency_ms"].to_numpy(dtype=np.float64)
    usable = ~failed(samples) & np.isfinite(latency)
    steps = []
    for place, one in enumerate(told):
        own = latency[usable & (at == place)]
        if not own.size:
            continue
        mean_ms, answered = float(own.mean()), float(one["answered_per_s"])
        broken = tuple(str(item["metric"]) for item in one["broken"])
        p95_ms = float(np.quantile(own, 0.95))
        offered = float(one["rate_per_s"])
        steps.append(Step(offered, answered, mean_ms, p95_ms, answered * mean_ms / 1000, broken))
    return tuple(steps)


def fit_scalability(concurrency: Sequence[float], throughput_per_s: Sequence[float]) -> ScalabilityLaw | None:
    """Fit the law to pairs of concurrency and throughput.

    Returns
    -------
    ScalabilityLaw or None
        None with fewer than `STEPS_MIN` pairs: three parameters would fit anything.
    """
    n = np.asarray(concurrency, dtype=np.float64)
    x = np.asarray(throughput_per_s, dtype=np.float64)
    usable = (n > 0) & (x > 0)
    n, x = n[usable], x[usable]
    if n.size < STEPS_MIN:
        return None

    def misfit(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(_law(n, *_natural(parameters))) - np.log(x)

    # In logs and a logistic: all three stay where they have a meaning, and small ones count as much as large.
    starts = [
        np.array([math.log(float((x / n).max())), logit, log_kappa])
        for logit in (-4.0, -1.0)
        for log_kappa in (-14.0, -9.0, -5.0)
    ]
    fits = [optimize.least_squares(misfit, start, method="lm") for start in starts]
    best = min(fits, key=lambda fit: float(fit.cost))
    rate, sigma, kappa = _natural(best.x)
    error = float(np.sqrt(np.mean(best.fun**2)))
    if kappa <= _KAPPA_MIN:
        return ScalabilityLaw(rate, sigma, kappa, None, None, error, (NO_PEAK,))
    peak = math.sqrt((1 - sigma) / kappa)
    caveats = (BEYOND,) if peak > n.max() else ()
    highest = float(_law(np.array([peak]), rate, sigma, kappa)[0])
    return ScalabilityLaw(rate, sigma, kappa, peak, highest, error, caveats)


def throughput_at(law: ScalabilityLaw, concurrency: Sequence[float]) -> tuple[float, ...]:
    """Return the throughput a second that a law predicts at each concurrency."""
    n = np.asarray(concurrency, dtype=np.float64)
    found = _law(n, law.rate_per_s, law.contention, law.coherence)
    return tuple(float(value) for value in found)


def users_carried(throughput_per_s: float, latency_ms: float, think_s: float) -> float:
    """Return how many users, each of whom waits for its answer and then thinks, make a throughput.

    By the interactive form of Little's law: N = X (R + Z).
    """
    return throughput_per_s * (latency_ms / 1000 + think_s)


def _law(n: NDArray[np.float64], rate: float, sigma: float, kappa: float) -> NDArray[np.float64]:
    # Below one request at a time there is nobody to queue behind or to agree with.
    others = np.maximum(n - 1, 0.0)
    return rate * n / (1 + sigma * others + kappa * n * others)


def _natural(parameters: NDArray[np.float64]) -> tuple[float, float, float]:
    rate, logit, log_kappa = np.clip(parameters, -60, 60)
    return float(np.exp(rate)), float(1 / (1 + np.exp(-logit))), float(np.exp(log_kappa))
