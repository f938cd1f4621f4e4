"""A load that climbs: judged after each step, ended when a budget breaks, its knee told."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from adx_lab import clock
from adx_lab.load.recording.rows import Row
from adx_lab.load.web.budgets import COLUMN, Window, live_budgets

if TYPE_CHECKING:
    from adx_lab.load.process.session import Session

_SETTLE_S = 1.0
"""After a step's end, for its last answers."""

_LOST_MAX = 0.02
"""Arrivals of a step without an answer by then, as a share: more is a queue that grows."""


class StepWatch:
    """Judges each step of an open loop's schedule once its answers are in.

    Parameters
    ----------
    session
        Told each step, and to end when one breaks a budget.
    began
        When the first step began.
    """

    def __init__(self, session: Session, began: float) -> None:
        self._session = session
        self._began = began
        self._stages = session.schedule.stages
        self._ends = list(accumulate(stage.seconds for stage in self._stages))
        self._windows = [Window() for _ in self._stages]
        self._budgets = live_budgets(session.order.budget_file, session.order.scenario)
        self._next = 0
        if session.recorder is not None:
            session.recorder.watchers.append(self._sort)

    def look(self) -> None:
        """Judge the step that has ended meanwhile, if one has."""
        if self._next < len(self._ends) and clock.now() - self._began > self._ends[self._next] + _SETTLE_S:
            self._judge()

    def conclude(self) -> None:
        """Judge what was sent whole, now that every answer is in."""
        while not self._session.ending and self._next < len(self._ends):
            self._judge()

    def _sort(self, rows: Sequence[Row]) -> None:
        intended = COLUMN["t_intended"]
        by_step: dict[int, list[Row]] = {}
        for row in rows:
            at = row[intended] - self._began
            if 0 <= at < self._ends[-1]:
                by_step.setdefault(bisect_right(self._ends, at), []).append(row)
        for step, its_rows in by_step.items():
            self._windows[step].add(its_rows)

    def _judge(self) -> None:
        session, step = self._session, self._next
        self._next += 1
        if session.recorder is not None:
            session.recorder.flush()
        stage, window = self._stages[step], self._windows[step]
        expected = stage.arrivals / session.workers
        broken: list[dict[str, Any]] = [
            {"budget": result.name, "metric": result.metric, "value": result.value, "limit": result.limit}
            for result in window.judge(self._budgets)
            if result.status == "fail"
        ]
        lost = 1 - window.count / expected
        if lost > max(_LOST_MAX, 4 / expected**0.5):
            broken.append({"budget": "Answers", "metric": "unanswered", "value": lost, "limit": _LOST_MAX})
        session.tell(
            step=step,
            rate_per_s=stage.rate_to,
            answered_per_s=window.count / stage.seconds,
            broken=broken,
        )
        if broken:
            session.broke()
