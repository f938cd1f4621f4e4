"""The noise between blocks that a duet has to live with, as the prototype measured it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KINDS = ("independent", "uneven", "heavy", "drift", "dependent")
SD = {"p50_ms": 0.014, "p95_ms": 0.042}
"""Standard deviation between blocks of the log ratio."""


def unit_noise(rng: np.random.Generator, n: int, kind: str) -> Array:
    """Return n values of mean 0 and about unit variance."""
    z: Array = rng.normal(size=n)
    if kind == "uneven":  # some blocks are far noisier than others
        z *= rng.lognormal(0, 0.5, n) / np.exp(0.25)
    if kind == "heavy":
        z = rng.standard_t(4, n) / np.sqrt(2)
    if kind == "drift":
        z = (z + np.linspace(-1, 1, n)) / np.sqrt(4 / 3)
    if kind == "dependent":
        z = autoregressive(rng, n, 0.3)
    return z


def autoregressive(rng: np.random.Generator, n: int, phi: float) -> Array:
    """Return a stationary first-order autoregression of unit variance."""
    z = rng.normal(size=n)
    for i in range(1, n):
        z[i] = phi * z[i - 1] + np.sqrt(1 - phi**2) * z[i]
    return z


def duet_noise(
    rng: np.random.Generator, blocks: int, endpoints: int, kind: str
) -> dict[tuple[int, str], Array]:
    """Return the log ratios of an A/A duet: a third of the variance is common to all endpoints of a block."""
    ratios = {}
    for metric, sd in SD.items():
        common = unit_noise(rng, blocks, kind)
        for endpoint in range(endpoints):
            own = unit_noise(rng, blocks, kind)
            ratios[endpoint, metric] = sd * (np.sqrt(0.3) * common + np.sqrt(0.7) * own)
    return ratios
