"""The tables of a bisection: its duets, what they looked at, what each commit touches."""

from __future__ import annotations

import math

from adx_lab.analysis.bisection.answer import Culprit
from adx_lab.report.parts.table import Column, Table

_LIKELY_ROWS = 20


def steps_table(answer: Culprit) -> Table:
    """Return the duets in the order in which they were played."""
    columns = (
        Column("commit", kind="code"),
        Column("message"),
        Column("blocks", kind="number"),
        Column("share of the slowdown", kind="share"),
        Column("95% interval", kind="share", interval=True),
        Column("is slow with probability", kind="share"),
        Column("suspects left", kind="number"),
        Column("note"),
    )
    rows = (
        (
            *(one.sha[:10], one.subject, one.blocks, one.effect),
            None if one.low is None or one.high is None else (one.low, one.high),
            *(one.slow_probability, one.suspects, one.note),
        )
        for one in answer.steps
    )
    return Table(columns, tuple(rows))


def slowdown_table(answer: Culprit) -> Table:
    """Return what the bad commit costs."""
    columns = (Column("endpoint", kind="code"), Column("metric"), Column("slower by", kind="change"))
    return Table(columns, tuple((*one[:2], math.expm1(one[2])) for one in answer.slowdown))


def findings_table(answer: Culprit) -> Table:
    """Return the causes that the duet of the good and the bad commit names."""
    columns = (Column("kind"), Column("subject", kind="code"), Column("cause"), Column("share", kind="share"))
    return Table(columns, tuple((one.kind, one.subject, one.cause, one.share) for one in answer.findings))


def likelihoods_table(answer: Culprit) -> Table:
    """Return the commits that the log alone would suspect, the likeliest first."""
    columns = (Column("commit", kind="code"), Column("likelihood", kind="share"), Column("touches"))
    rows = ((one.sha[:10], one.share, one.touches) for one in answer.likelihoods[:_LIKELY_ROWS])
    return Table(columns, tuple(rows))
