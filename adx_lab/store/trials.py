"""The ledger of calibration: one row a trial, added up over calls and nights, for each machine by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from adx_lab.store.engine import StoreDatabase
from adx_lab.store.tables import TRIALS

TrialKind = Literal["equal", "slowed", "realistic"]


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
    """The table of trials, beside the runs."""

    def add(self, trial: Trial) -> None:
        """Keep a trial; kept at once, so that an interrupted calibration loses nothing that it has."""
        self._keep(TRIALS, asdict(trial))

    def of(self, machine: str) -> list[Trial]:
        """Return a machine's trials, oldest first."""
        return [Trial(**row) for row in self._rows(TRIALS) if row["machine"] == machine]
