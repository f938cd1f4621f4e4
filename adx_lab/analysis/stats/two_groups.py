"""What can be ruled out of many effects at once: most are nothing, a few are something.

Each effect's own interval rules out too little where there are many: that each of fifty keeps within its
bound by chance alone is rare. So they are judged as one population (B. Efron: Large-Scale Inference, 2010,
chapter 5): a share of them changed, by anything, the others did not, and what all of them show says how far
the unchanged ones scatter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHANCE_MAX", "chance_beyond", "ruled_out"]

CHANGED = 0.1
"""The share of effects that are taken to have changed before anything is seen: more than ever do."""

WIDTH = 4.0
"""Of the changes, in limits: where they are, if they are."""

CHANCE_MAX = 0.02
ERROR_MAX = 1 / 1.645
"""Of its limit: an effect whose own error is larger could not be bounded however well it came out."""

_SCATTER_MIN = 8


def chance_beyond(
    estimates: NDArray[np.float64], errors: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the chance that each effect is at least its limit, given all of them.

    Parameters
    ----------
    estimates, errors
        Of each effect, and its standard error.
    limits
        Positive: from where on an effect matters.
    """
    errors = np.maximum(errors, 1e-9 * limits)
    errors = errors * _scatter(estimates / errors)
    width = WIDTH * limits
    unchanged = (1 - CHANGED) * _density(estimates, errors)
    total = np.hypot(width, errors)
    changed = CHANGED * _density(estimates, total)
    with np.errstate(invalid="ignore"):
        share = changed / (changed + unchanged)
    share = np.where(np.isfinite(share), share, 1.0)  # both densities vanish far out: then it is a change
    middle = estimates * (width / total) ** 2
    chance: NDArray[np.float64] = share * ndtr((middle - limits) / (width * errors / total))
    return chance


def ruled_out(
    estimates: NDArray[np.float64], errors: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell of which effects it is ruled out that they matter: by their own interval, or among all of them.

    Parameters
    ----------
    estimates, errors, limits
        As in `chance_beyond`.
    """
    able = errors <= ERROR_MAX * limits
    alone = estimates + errors / ERROR_MAX < limits
    return np.asarray(alone | (able & (chance_beyond(estimates, errors, limits) <= CHANCE_MAX)))


def _density(at: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-0.5 * (at / spread) ** 2) / spread
    return density


def _scatter(z: NDArray[np.float64]) -> float:
    """Return by how much the usual effect scatters more than its error says; at least 1.

    About their middle: what all of them have in common is no scatter.
    """
    moved = z[z != 0]
    if moved.size < _SCATTER_MIN:
        return 1.0
    return max(1.0, float(np.median(np.abs(moved - np.median(moved)))) / 0.6745)
