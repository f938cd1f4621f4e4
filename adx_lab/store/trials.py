"""The ledger of calibration: one row a trial, added up over calls and nights, for each machine by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa

from adx_lab.store.engine import StoreDatabase

TrialKind = Literal["equal", "slowed", "realistic"]

_METADATA = sa.MetaData()
_TRIALS = sa.Table(
    "trials",
    _METADATA,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("machine", sa.String(16), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("effect", sa.Float),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("found", sa.Boolean, nullable=False),
    sa.Column("cause", sa.String(64)),
    sa.Column("cause_right", sa.Boolean),
    sa.Column("smallest_seen", sa.Float),
    sa.Column("blocks", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One duet of which the truth is known.

    Attributes
    ----------
    machine
        A digest of what decides whether two machines compare.
    kind
        ``equal``: both variants the same. ``slowed``: one endpoint made slower by a known share.
        ``realistic``: a mistake as people make it.
    name, effect
        What was done, and by how much where that is known.
    status
        The verdict's; of two equal variants, what it would be if they were not known to be.
    found
        Whether anything was called slower; for equal variants, a false alarm.
    cause, cause_right
        The kind of the first finding, and whether it is the right one.
    smallest_seen
        The slowdown at p50, a fraction, that the duet itself says it would have found.
    seconds
        How long it took.
    """

    run_id: str
    machine: str
    at: str
    kind: TrialKind
    name: str
    status: str
    found: bool
    blocks: int
    seconds: float
    effect: float | None = None
    cause: str | None = None
    cause_right: bool | None = None
    smallest_seen: float | None = None


class TrialLedger(StoreDatabase):
    """The table of trials at a SQLAlchemy URL, beside the runs.

    Raises
    ------
    UsageError
        The URL is no database's.
    StoreError
        The store can't be opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, _METADATA)

    def add(self, trial: Trial) -> None:
        """Keep a trial; kept at once, so that an interrupted calibration loses nothing that it has."""
        with self._guarded(), self._engine.begin() as connection:
            connection.execute(sa.delete(_TRIALS).where(_TRIALS.c.run_id == trial.run_id))
            connection.execute(sa.insert(_TRIALS).values(asdict(trial)))

    def of(self, machine: str) -> list[Trial]:
        """Return a machine's trials, oldest first."""
        with self._guarded(), self._engine.connect() as connection:
            chosen = sa.select(_TRIALS).where(_TRIALS.c.machine == machine).order_by(_TRIALS.c.run_id)
            rows: list[Any] = list(connection.execute(chosen).mappings())
        return [Trial(**row) for row in rows]
