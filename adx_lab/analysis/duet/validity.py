"""Whether a duet can be trusted at all: the same endpoints, few errors, whole pairs, equals seen as equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.latency import failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["check_duet", "check_equal"]

ERROR_SHARE_MAX = 0.01
UNPAIRED_SHARE_MAX = 0.01


def check_duet(
    samples: pd.DataFrame, *, error_share_max: float = ERROR_SHARE_MAX
) -> tuple[ValidityCheck, ...]:
    """Check a duet's samples before anything is compared.

    Parameters
    ----------
    samples
        One row a request with `variant`, `endpoint`, and `status` or `error`; `pair` is used where there is
        one.
    error_share_max
        The share of failed requests at which times stop meaning anything.

    Returns
    -------
    tuple of ValidityCheck
        Endpoints that only one variant answered; error share of each variant (1 where it answered nothing);
        share of pairs of which one half is missing.
    """
    lost = failed(samples)
    variant = samples["variant"].astype("str")
    checks = []
    for name in (BASE, HEAD):
        own = (variant == name).to_numpy()
        share = float(lost[own].mean()) if own.any() else 1.0
        checks.append(ValidityCheck(f"{name}_error_share", share, error_share_max, share <= error_share_max))
    seen = {name: set(samples.loc[variant == name, "endpoint"].astype("str")) for name in (BASE, HEAD)}
    differing = float(len(seen[BASE] ^ seen[HEAD]))
    checks.append(ValidityCheck("endpoints_differing", differing, 0.0, differing == 0))
    if "pair" in samples and len(samples):
        keys = [name for name in ("block", "pair") if name in samples]
        sizes = samples.groupby(keys, observed=True)["variant"].nunique()
        halves = float((sizes < 2).mean())
        checks.append(
            ValidityCheck("unpaired_share", halves, UNPAIRED_SHARE_MAX, halves <= UNPAIRED_SHARE_MAX)
        )
    return tuple(checks)


def check_equal(comparisons: Sequence[Comparison]) -> ValidityCheck:
    """Check the machine by an A/A duet: a machine that sees a difference between equals can't judge others.

    Parameters
    ----------
    comparisons
        Of a duet of two equal variants.
    """
    alarms = float(sum(one.status in {"slower", "faster"} for one in comparisons))
    return ValidityCheck("differences_between_equals", alarms, 0.0, alarms == 0)
