"""What watching costs: a query with ``auto_explain`` off, as the lab sets it, and with its clock on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODES = {
    "bare": {"auto_explain.log_min_duration": "-1"},
    "observed": {"auto_explain.log_min_duration": "10s", "auto_explain.log_timing": "off"},
    "timed": {"auto_explain.log_min_duration": "10s", "auto_explain.log_timing": "on"},
}


@dataclass(frozen=True, slots=True)
class ObservingCost:
    """Median milliseconds of one execution, seen by the client: unobserved, observed, and with timing."""

    bare_ms: float
    observed_ms: float
    timed_ms: float
    executions: int

    @property
    def observed_share(self) -> float:
        """What the observation adds, as a share of the bare time."""
        return self.observed_ms / self.bare_ms - 1


async def measure_observing(
    database_url: str, text: str, arguments: Sequence[object] = (), *, rounds: int = 30, executions: int = 20
) -> ObservingCost:
    """Execute a query in turns under each of the three settings; the turns take drift out of the comparison.

    Raises
    ------
    MeasurementError
        The query fails, or ``auto_explain`` may not be set.
    """
    taken: dict[str, list[float]] = {mode: [] for mode in _MODES}
    async with connected(database_url) as connection:
        try:
            await connection.execute("LOAD 'auto_explain'")
            await connection.execute("SET auto_explain.log_analyze = on")
            prepared = await connection.prepare(text)
            for _ in range(rounds):
                for mode, settings in _MODES.items():
                    for name, value in settings.items():
                        await connection.execute(f"SET {name} = '{value}'")
                    for _ in range(executions):
                        began = time.perf_counter()
                        await prepared.fetch(*arguments)
                        taken[mode].append((time.perf_counter() - began) * 1000)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise MeasurementError(f"the cost of observing can't be measured: {error}") from error
    middle = {f"{mode}_ms": median(times) for mode, times in taken.items()}
    return ObservingCost(**middle, executions=rounds * executions)
