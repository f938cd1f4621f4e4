"""Many Locust processes, here or on other machines, as one load: over Locust's own master and workers.

The master tells the workers what the load is, measures how far their clocks are from its own, lets all begin
at one moment, and writes down what they send it each second; a worker needs no file of ours, no shared disk.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gevent
import msgspec
import pyarrow as pa
from gevent.event import AsyncResult

from adx_lab import clock
from adx_lab.errors import MeasurementError, UsageError
from adx_lab.load.process.admission import versions, watch_strangers
from adx_lab.load.process.session import DRAIN_S, Session
from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import FileSink
from adx_lab.load.schedules.schedule import ENDLESS_S
from adx_lab.load.secret import SECRET_VARIABLE

SENT_FILES = ("sample_file", "replay_file", "budget_file")
"""Files that an order names; the master sends what is in them along."""

_PINGS = 9
_ANSWER_S = 2.0
_CLOSE_S = 10.0
_REPORTS_S = 3.0
_GRACE_S = 10.0
_LEAD_S = 0.3
_LOOK_EVERY_S = 0.05


class MasterSession(Session):
    """The part of the process that sends nothing itself."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._sinks: dict[str, FileSink] = {}
        self._ready: set[str] = set()
        self._done: set[str] = set()
        self._counted: dict[str, int] = {}
        self._pong: AsyncResult[dict[str, Any]] = AsyncResult()
        self._strangers = 0
        gevent.spawn(watch_strangers, environment.runner.server.socket, self._on_stranger)
        for name in ("rows", "facts", "pong", "ready", "done", "broke"):
            environment.runner.register_message(f"adx_{name}", getattr(self, f"_on_{name}"))

    def vitals(self) -> dict[str, Any]:
        """Return who wanted to join and was refused; the load is the workers'."""
        return {"strangers": self._strangers}

    def sink(self) -> FileSink:
        """Return where the master tells how it is doing."""
        return FileSink(Path(self.order.raw_dir), "master")

    def start_clock(self, began: float) -> None:
        """Let all workers begin at one moment."""
        super().start_clock(began + _LEAD_S)
        self.environment.runner.send_message("adx_go", {"began": began + _LEAD_S})
        self._timers.append(gevent.spawn(self._finish_when_done))
        if self.schedule.kind == "open" and self.schedule.duration_s < ENDLESS_S:
            # A worker that died will never be done.
            self._after(began + self.schedule.duration_s + DRAIN_S + _GRACE_S - clock.now(), self.finish)

    def finish(self) -> None:
        """Stop the test: the workers have told who ended it, and when."""
        self._told_end = True
        super().finish()

    def drain(self) -> None:
        """Let the workers drain, and finish when all have."""
        self.ending = True
        self.environment.runner.send_message("adx_drain", {})
        self._after(DRAIN_S + _GRACE_S, self.finish)

    def on_test_stop(self) -> None:
        """Wait for the workers' last rows, then close everything."""
        deadline = time.monotonic() + _CLOSE_S
        while set(self._sinks) - self._missing() and time.monotonic() < deadline:
            gevent.sleep(_LOOK_EVERY_S)
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()
        self._await_reports()
        super().on_test_stop()

    def _await_reports(self) -> None:
        """Wait until Locust's own figures are whole: each worker's last report comes after its last row."""
        deadline = time.monotonic() + _REPORTS_S
        counted, total = sum(self._counted.values()), self.environment.stats.total
        while total.num_requests < counted and time.monotonic() < deadline:
            gevent.sleep(_LOOK_EVERY_S)

    def _quit(self) -> None:
        # Locust's quit alone would end this process's part before the workers' last rows.
        self.environment.runner.stop()
        super()._quit()

    def _prepare(self) -> None:
        """Do nothing: the master logs nobody in."""

    def _tell_count(self, recorder: Recorder) -> None:
        """Tell nothing: each worker tells its own, and the last report may be on its way."""

    def _check(self) -> None:
        runner = self.environment.runner
        if not os.environ.get(SECRET_VARIABLE):
            raise UsageError(
                "a master without a secret would hand the load's accounts to anybody",
                mend=f"set {SECRET_VARIABLE} to a long random word, the same for the master and its workers",
            )
        clients = [client.id for client in runner.clients.all]
        self._ready, self._done, self._counted = set(), set(), {}
        self.workers = len(clients)
        if not clients:
            raise MeasurementError("no worker is connected to the master", mend="start some")
        for index, client in enumerate(clients):
            offset_s = self._clock_offset(client)
            sink = self._sinks[client] = FileSink(Path(self.order.raw_dir), f"worker-{index:03}")
            sink.tell({"t": clock.now(), "clock_offset_s": offset_s, "client": client})
            told = {
                "order": msgspec.json.encode(self.order),
                "index": index,
                "workers": len(clients),
                "offset_s": offset_s,
                **{name: _content(getattr(self.order, name)) for name in SENT_FILES},
            }
            runner.send_message("adx_order", told, client)

    def _clock_offset(self, client: str) -> float:
        """Return how far a worker's clock is ahead of ours: the quickest answer of several errs least.

        A worker whose versions are others is refused.
        """
        measured = []
        for _ in range(_PINGS):
            self._pong = AsyncResult()
            sent = clock.now()
            self.environment.runner.send_message("adx_ping", {}, client)
            try:
                told = self._pong.get(timeout=_ANSWER_S)
            except gevent.Timeout as error:
                raise MeasurementError(f"the worker {client} does not answer") from error
            received = clock.now()
            measured.append((received - sent, told["now"] - (sent + received) / 2))
        if told["versions"] != versions():
            raise UsageError(
                f"the worker {client} runs {_listed(told['versions'])}, its master {_listed(versions())}",
                mend="install the same on both",
            )
        return float(min(measured)[1])

    def _finish_when_done(self) -> None:
        """Finish when every worker that lives has sent all and waited for the answers."""
        while not self._done or set(self._sinks) - self._missing() - self._done:
            gevent.sleep(_LOOK_EVERY_S)
        self.finish()

    def _missing(self) -> set[str]:
        """Return the workers from which nothing is heard any more."""
        return {client.id for client in self.environment.runner.clients.missing}

    def _on_stranger(self) -> None:
        self._strangers += 1

    def _on_pong(self, environment: Any, msg: Any) -> None:  # noqa: ARG002  # Locust hands both by name
        self._pong.set(msg.data)

    def _on_rows(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        sink = self._sinks.get(msg.node_id)
        if sink is None:
            return
        with pa.ipc.open_stream(msg.data["rows"]) as reader:
            for batch in reader:
                sink.write(batch)
                if self.recorder is not None and self.recorder.watchers:
                    rows = list(zip(*batch.to_pydict().values(), strict=True))
                    for watch in self.recorder.watchers:
                        watch(rows)

    def _on_facts(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        sink = self._sinks.get(msg.node_id)
        if sink is None:
            return
        sink.tell(msg.data)
        if "locust_requests" in msg.data:
            self._counted[msg.node_id] = msg.data["locust_requests"]
        if "failed" in msg.data:
            self.environment.process_exit_code = msg.data["exit_code"]
            self.finish()
        if msg.data.get("closed"):
            self._sinks.pop(msg.node_id).close()

    def _on_ready(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._ready.add(msg.node_id)
        if len(self._ready) == self.workers:
            self.prepared.set()
            self.begin_when_ready()

    def _on_done(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self._done.add(msg.node_id)

    def _on_broke(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.environment.runner.send_message("adx_end", {})


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _content(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path is not None and Path(path).exists() else None
