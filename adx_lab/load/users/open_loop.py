"""An open loop: it sends when the schedule says so, whatever the service does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import gevent
from gevent.pool import Pool
from locust import task
from locust.exception import StopUser

from adx_lab import clock
from adx_lab.load.process.session import DRAIN_S
from adx_lab.load.schedules.arrivals import Stage, staged, warm_up
from adx_lab.load.schedules.replay import read_replay
from adx_lab.load.users.climbing import StepWatch
from adx_lab.load.users.scenario import SEEDS_APART, Scenario


class OpenLoopUser(Scenario):
    """One Locust user that stands for all of the crowd: it sends each arrival when it is due.

    Attributes
    ----------
    stages
        Rates one after another, where one rate is not enough.
    stop_at_budget
        End the load when a stage breaks a budget, and name the last one that did not.
    """

    abstract = True
    load_kind: ClassVar[Literal["open"]] = "open"
    takes = frozenset({"rate_per_s", "replay_file"})
    concurrency = 400
    fixed_count = 1
    stages: ClassVar[tuple[Stage, ...]] = ()
    stop_at_budget: ClassVar[bool] = False

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.network_timeout = self.connection_timeout = self.session.order.timeout_s

    @task
    def send_schedule(self) -> None:
        """Send every arrival at its time, wait for the answers, and end the run."""
        session = self.session
        began = session.go.get()
        watch = StepWatch(session, began) if session.schedule.climbs else None
        pool = Pool(self.concurrency)
        blocked_s = 0.0
        for number, moment, endpoint in self._schedule():
            if session.ending:
                break
            intended = began + moment
            delay = intended - clock.now()
            if delay > 0:
                gevent.sleep(delay)
            if watch is not None:
                watch.look()
            full_since = time.monotonic() if pool.full() else None
            pool.spawn(self.perform, intended, number, endpoint)
            if full_since is not None:
                blocked_s += time.monotonic() - full_since
            session.in_flight, session.blocked_s = len(pool), blocked_s
        session.in_flight = len(pool)
        pool.join(timeout=DRAIN_S)
        if watch is not None:
            watch.conclude()
        unanswered = len(pool)
        pool.kill()
        session.end()
        session.done(unanswered)
        raise StopUser  # Locust would start the task anew

    def _schedule(self) -> Iterator[tuple[int, float, str | None]]:
        session, schedule = self.session, self.session.schedule
        if session.order.replay_file is not None:
            yield from read_replay(session.order.replay_file, index=session.index, workers=session.workers)
            return
        warmup = warm_up(schedule.stages[0].rate_from, schedule.warmup_s)
        # Each worker sends its share; shares of a Poisson process are Poisson processes.
        shares = [
            Stage(stage.rate_from / session.workers, stage.rate_to / session.workers, stage.seconds)
            for stage in (*warmup, *schedule.stages)
        ]
        seed = session.order.seed + session.index * SEEDS_APART
        for number, moment in enumerate(staged(shares, -schedule.warmup_s, seed)):
            yield number * session.workers + session.index, moment, None
