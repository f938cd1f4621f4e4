"""Whether a duet can be trusted at all: a base that answers, whole pairs, equals seen as equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.latency import failed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["check_duet", "check_equal"]

ERROR_SHARE_MAX = 0.01
UNPAIRED_SHARE_MAX = 0.01


def check_duet(
    samples: pd.DataFrame, *, error_share_max: float = ERROR_SHARE_MAX, added: Collection[str] = ()
) -> tuple[ValidityCheck, ...]:
    """Check a duet's samples before anything is compared.

    What head fails is not asked here: that is a regression, and base failing is a comparison with nothing.

    Parameters
    ----------
    samples
        One row a request with `variant`, `endpoint`, and `status` or `error`; `pair` is used where there is
        one.
    error_share_max
        The share of failed requests at which times stop meaning anything.
    added
        Endpoints that only head has: that base fails them is told elsewhere.

    Returns
    -------
    tuple of ValidityCheck
        Error share of base (1 where it answered nothing), and of head where it answered nothing; share of
        pairs of which one half is missing.
    """
    lost = failed(samples)
    variant = samples["variant"].astype("str")
    old = ~samples["endpoint"].astype("str").isin(list(added)).to_numpy()
    own = (variant == BASE).to_numpy() & old
    share = float(lost[own].mean()) if own.any() else 1.0
    checks = [ValidityCheck("base_error_share", share, error_share_max, share <= error_share_max)]
    if not (variant == HEAD).any():
        checks.append(ValidityCheck("head_error_share", 1.0, error_share_max, ok=False))
    if "pair" in samples and len(samples):
        keys = [name for name in ("movement", "block", "pair", "endpoint") if name in samples]
        paired = samples[(samples["pair"] >= 0).to_numpy()]
        if "movement" in paired:  # a crowd is asked for as much as it can answer, not in pairs
            paired = paired[(paired["movement"] != "burst").to_numpy()]
        sizes = paired.groupby(keys, observed=True)["variant"].nunique()
        halves = float((sizes < 2).mean()) if len(sizes) else 0.0
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
