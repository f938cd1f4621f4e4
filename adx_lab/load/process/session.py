"""One Locust process's part in a test: when it begins, what it records, when it ends.

Whoever started Locust, the same happens: the test's record is opened when the test starts, accounts are
logged in before the first user is spawned, all processes begin at one moment, and the record is closed when
the test stops. Under the lab's command line a order says where the record goes, and the lab stores the run.
Without one (the web page, plain ``locust -f``) this process starts a companion that stores it; see
`adx_lab.conduct.attended`.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult, Event

from adx_lab import clock
from adx_lab.errors import AdxLabError, MeasurementError
from adx_lab.load.order import read_order
from adx_lab.load.people import Account
from adx_lab.load.process.companion import Companion, own_order
from adx_lab.load.process.connections import allow_connections
from adx_lab.load.process.endings import end_in_time, watch_end
from adx_lab.load.process.logins import keep_logged_in, log_in_accounts
from adx_lab.load.process.pairs import Pair, await_rivals
from adx_lab.load.process.refusing import refuse_what_it_takes_not
from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import FileSink
from adx_lab.load.recording.tracing import send_traces
from adx_lab.load.recording.unfinished import Exceptions, keep_under_way, stop_listening, who_left
from adx_lab.load.recording.unfinished import listen as listen_to_unfinished
from adx_lab.load.schedules.schedule import (
    ENDED_BY_BUDGET,
    ENDED_BY_SCHEDULE,
    ENDLESS_S,
    Schedule,
    make_schedule,
)
from adx_lab.processes import count_open_files
from adx_lab.settings import read_settings

DRAIN_S = 30.0
_OPEN_LOOP_CONNECTIONS = 400
_LEAD_S = 0.1
"""Between the word to begin and the beginning: a message to a worker takes its time."""

_QUIT_S = 1.0


class Session:
    """The part of a process that sends requests by itself (Locust's local runner).

    Parameters
    ----------
    environment
        Locust's.
    """

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.given = read_order()
        self.scenario = next((cls for cls in environment.user_classes if hasattr(cls, "load_kind")), None)
        self.order = self.given or own_order(environment, plain=self.scenario is None)
        if self.order.traced:
            send_traces()
        self.schedule = self._scheduled()
        self.recorder: Recorder | None = None
        self.accounts: Sequence[Account] = ()
        self.pair: Pair | None = None
        """The two variants of a duet; None where one service is loaded."""
        self.index, self.workers = 0, 1
        self.go: AsyncResult[float] = AsyncResult()
        """Set to the moment at which the measured part begins, on this machine's clock."""
        self.prepared = Event()
        """Set when everybody is logged in."""
        self.spawned = False
        self.ending = False
        self.in_flight = 0
        self.blocked_s = 0.0
        """How long the schedule stood still because every connection was busy."""
        self._timers: list[Any] = []
        self._files_before = 0
        self._companion: Companion | None = None
        self._told_end = False
        self._opened = False
        self._quitting = False
        self._stats_since = 0.0
        self._fill_in_options()
        watch_end(environment.runner, self._on_ended)
        end_in_time(environment.runner, lambda count, places: self.tell(hung=count, hung_in=places))
        environment.events.test_start.add_listener(lambda **_: self.on_test_start())
        environment.events.test_stop.add_listener(self._on_stopped)
        environment.events.spawning_complete.add_listener(lambda **_: self.on_spawned())
        environment.events.quitting.add_listener(lambda **_: self.on_quitting())
        atexit.register(self._on_exit)

    def on_test_start(self) -> None:
        """Open the record, and let people in beside: the web page must not wait for their logins."""
        self._reset()
        stopped = self.environment.events.test_stop
        _leave(stopped, self._on_stopped)
        stopped.add_listener(self._on_stopped)  # the last to hear: what others send then is recorded too
        try:
            self._open()
            self._check()
        except AdxLabError as error:
            self.fail(error)
        except OSError as error:
            self.fail(MeasurementError(f"the record can't be written: {error}"))
        else:
            preparing = gevent.spawn(self._prepare)
            # Users wait for the preparation: one that fails in any way has to end the test.
            preparing.link_exception(self._on_unprepared)
            self._timers.append(preparing)

    def on_spawned(self) -> None:
        """Begin, if everybody is logged in as well."""
        self.spawned = True
        self.begin_when_ready()

    def ready(self) -> None:
        """Begin, if everybody is spawned as well."""
        self.begin_when_ready()

    def begin_when_ready(self) -> None:
        """Begin once all users are there and logged in."""
        if self.spawned and self.prepared.is_set() and not self.go.ready() and not self.ending:
            self.begin()

    def begin(self) -> None:
        """Set the moment at which the measured part begins, and the one at which it ends."""
        began = clock.now() + _LEAD_S + self.schedule.warmup_s
        self.start_clock(began)
        if self.schedule.duration_s < ENDLESS_S and self.schedule.kind != "open":
            self._after(began + self.schedule.duration_s - clock.now(), self.drain)

    def start_clock(self, began: float) -> None:
        """Tell the record and the users when the measured part begins."""
        self.tell(began=began, schedule=msgspec.to_builtins(self.schedule), scenario=self.order.scenario)
        # Whoever is here now stays to the end. Looking through ten thousand users for garbage again and again
        # would stop all of them for a third of a second each time.
        gc.collect()
        gc.freeze()
        self.go.set(began)

    def drain(self) -> None:
        """Let nobody send any more, wait for what is under way, and finish."""
        self.end()
        deadline = time.monotonic() + DRAIN_S
        while self.in_flight and time.monotonic() < deadline:
            gevent.sleep(0.02)
        self.done(self.in_flight)

    def end(self, by: str = ENDED_BY_SCHEDULE) -> None:
        """Let nobody send any more."""
        self.ending = True
        if not self._told_end:
            self._told_end = True
            self.tell(ended=clock.now(), ended_by=by)

    def done(self, unanswered: int) -> None:
        """Note that this process has sent all and waited for the answers."""
        self.tell(unanswered=unanswered)
        self.finish()

    def finish(self) -> None:
        """Stop the test; without a web page Locust ends with it."""
        self.ending = True
        self._after(0, self.environment.runner.stop if self.environment.web_ui else self._quit)

    def broke(self) -> None:
        """End a climbing load: a budget is broken."""
        self.end(ENDED_BY_BUDGET)

    def fail(self, error: AdxLabError) -> None:
        """Say why there will be no load, and end."""
        sys.stderr.write(f"adx-lab: {error}\n")
        self.tell(failed=str(error), exit_code=error.exit_code)
        self.environment.process_exit_code = error.exit_code
        self.finish()

    def tell(self, **facts: Any) -> None:
        """Tell the lab something."""
        if self.recorder is not None:
            self.recorder.tell(**facts)

    def on_test_stop(self) -> None:
        """Close the record."""
        self.ending = True
        for timer in self._timers:
            if timer is not gevent.getcurrent():
                timer.kill(block=False)
        self._timers.clear()
        if self.recorder is not None:
            keep_under_way()
            _leave(self.environment.events.request, self.recorder.on_request)
            _leave(self.environment.events.user_error, self._exceptions.on_user_error)
            stop_listening()
            self._tell_count(self.recorder)
            self.recorder.close()
            self.recorder = None
            gc.unfreeze()

    def on_quitting(self) -> None:
        """Close what is still open, and let the companion finish."""
        self._quitting = True
        self.on_test_stop()
        if self._companion is not None:
            self._companion.wait()

    def vitals(self) -> dict[str, Any]:
        """Return what each beat tells of the load."""
        if self.schedule.kind == "crowd":
            # Every connection is an open file: what is counted is there, whatever users believe.
            connected = count_open_files(os.getpid()) - self._files_before
            # Without the connections over which people were logged in.
            connected = min(connected, self.environment.runner.user_count)
            return {"pending": self.in_flight, "connected": connected, **self._users()}
        return {"pending": self.in_flight, "blocked_s": self.blocked_s, **self._users()}

    def sink(self) -> Any:
        """Return where this process records."""
        return FileSink(Path(self.order.raw_dir), f"worker-{os.getpid()}")

    def _open(self) -> None:
        self._opened = True
        self.recorder = recorder = Recorder(
            self.sink(), self.order.variant, self.vitals, timed=self.order.timed
        )
        recorder.broken = self._on_broken
        # Before everybody else: a listener that raises keeps the event from all that come after it.
        self.environment.events.request._handlers.insert(0, recorder.on_request)  # noqa: SLF001
        self._exceptions = Exceptions(recorder)
        self.environment.events.user_error._handlers.insert(0, self._exceptions.on_user_error)  # noqa: SLF001
        listen_to_unfinished(recorder)
        options = self.environment.parsed_options
        recorder.tell(unheeded=getattr(options, "adx_unheeded", []), spawning_s=_spawning_s(options))
        self._stats_since = self.environment.stats.start_time
        for listen in listeners:
            listen(self, self.recorder)
        gevent.spawn(self.recorder.beat_until_closed)
        if self.given is None:
            self._start_companion()

    def _check(self) -> None:
        refuse_what_it_takes_not(self.order, self.scenario)
        connections = (
            self.schedule.users // self.workers if self.schedule.kind != "open" else _OPEN_LOOP_CONNECTIONS
        )
        self.tell(open_files_limit=allow_connections(connections))
        self._files_before = count_open_files(os.getpid())

    def _prepare(self) -> None:
        """Log people in; a service that lets nobody in can't be measured."""
        try:
            if self.order.rivals_file is not None:
                self.pair = self._introduced(self.order.rivals_file)
                self.pair.log_in()
            elif self.scenario is not None and self.order.sample_file is not None:
                host = self.environment.host or self.scenario.host
                self.accounts = log_in_accounts(self.environment, host, self.scenario, self.order)
                self._timers.append(
                    gevent.spawn(keep_logged_in, self.environment, host, self.accounts, lambda: self.ending)
                )
        except AdxLabError as error:
            self.fail(error)
            return
        self.prepared.set()
        self.ready()

    def _introduced(self, rivals_file: str) -> Pair:
        return Pair(self.environment, self.scenario, self.order, await_rivals(rivals_file), self.go)

    def _on_unprepared(self, preparing: Any) -> None:
        self.fail(MeasurementError(f"the load could not be prepared: {preparing.exception!r}"))

    def _reset(self) -> None:
        self.ending, self.in_flight, self.blocked_s, self.accounts = False, 0, 0.0, ()
        self.go, self.prepared, self.spawned = AsyncResult(), Event(), False
        self._told_end = False
        self._take_order()

    def _take_order(self) -> None:
        """Read anew what somebody asked of the web page."""
        if self.given is None:
            self.order = own_order(self.environment, plain=self.scenario is None)
            self.schedule = self._scheduled()

    def _scheduled(self) -> Schedule:
        schedule = make_schedule(self.order, self.scenario, read_settings().load)
        if self.scenario is not None:
            return schedule
        # How many users somebody else's load has is Locust's to say, by whatever it takes options from.
        users = self.environment.parsed_options.num_users or 1
        return msgspec.structs.replace(schedule, users=users)

    def _fill_in_options(self) -> None:
        """Let Locust know what the scenario wants, where nobody said otherwise."""
        options = self.environment.parsed_options
        if self.scenario is None:
            return
        if self.schedule.kind == "open":
            self.scenario.fixed_count = options.num_users = max(1, options.expect_workers)
        elif options.num_users is None:
            options.num_users = self.schedule.users
        options.spawn_rate = options.spawn_rate or self.schedule.spawn_per_s

    def _start_companion(self) -> None:
        host = self.environment.host or getattr(self.scenario, "host", None) or ""
        self._companion = Companion(self.order, host)

    def _after(self, seconds: float, call: Any) -> None:
        # The loop's own clock stands still while Python works: a timer would be early by as much.
        gevent.get_hub().loop.update_now()
        self._timers.append(gevent.spawn_later(max(0.0, seconds), call))

    def _quit(self) -> None:
        self.environment.runner.quit()

    def _users(self) -> dict[str, int]:
        return {"users": self.environment.runner.user_count}

    def _on_stopped(self, **_: Any) -> None:
        self.on_test_stop()
        if self.given is not None and not self.environment.web_ui:
            gevent.spawn_later(_QUIT_S, self._quit_if_left)

    def _quit_if_left(self) -> None:
        """End a Locust without a page whose test was stopped by somebody who did not end Locust too."""
        if not self._quitting:
            self.environment.runner.quit()

    def _on_ended(self, by: str) -> None:
        """Note who ended the test, where it was not the schedule."""
        if self.recorder is not None:
            self.end(by)
        elif self.given is not None and not self._opened:  # one that never started
            self._opened = True
            sink = self.sink()
            sink.tell({"t": clock.now(), "ended": clock.now(), "ended_by": by, "closed": True})
            sink.close()

    def _on_exit(self) -> None:
        """Close the record of a Locust that ends in the middle: a task's ``sys.exit`` fires no event."""
        if self.recorder is not None:
            self.end(who_left() or "an exit of Locust's process")
            self.on_test_stop()

    def _on_broken(self, error: Exception) -> None:
        """End a test whose record can't be written: what it would go on to send would be lost."""
        if not self.ending:
            self.fail(
                MeasurementError(f"the record can't be written: {error}", mend="see that there is space")
            )

    def _tell_count(self, recorder: Recorder) -> None:
        """Tell what Locust itself has counted, where nobody has set its counters back meanwhile."""
        stats, options = self.environment.stats, self.environment.parsed_options
        if stats.start_time == self._stats_since and not options.reset_stats:
            recorder.tell(
                locust_requests=stats.total.num_requests,
                locust_failures=stats.total.num_failures,
                rows=recorder.requests,
            )


def _spawning_s(options: Any) -> float:
    """Return how long Locust will take to spawn all users."""
    return float((options.num_users or 0) / (options.spawn_rate or 1))


def _leave(event: Any, listener: Any) -> None:
    """Hear no more of an event; a locustfile may have cleared its listeners, ours among them."""
    if listener in event._handlers:  # noqa: SLF001
        event.remove_listener(listener)


listeners: list[Any] = []
"""Called with the session and its recorder when a test's record is opened (the web page's tab)."""

_current: list[Session] = []


def current() -> Session:
    """Return this process's session."""
    return _current[0]


def set_current(session: Session) -> None:
    """Let users find this process's session."""
    _current[:] = [session]
