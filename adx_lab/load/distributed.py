"""Many Locust processes, here or on other machines, as one load: over Locust's own master and workers.

The master tells the workers what the load is, measures how far their clocks are from its own, lets all begin
at one moment, and writes down what they send it each second; a worker needs no file of ours, no shared disk.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent
import msgspec
import pyarrow as pa
from gevent.event import AsyncResult, Event

from adx_lab.errors import MeasurementError
from adx_lab.load.plan import ENDLESS_S, make_plan
from adx_lab.load.raw import RAW_SCHEMA, FileSink
from adx_lab.load.session import DRAIN_S, Session
from adx_lab.load.spec import LoadSpec
from adx_lab.settings import read_settings

_PINGS = 9
_ANSWER_S = 2.0
_CLOSE_S = 10.0
_GRACE_S = 10.0
_LEAD_S = 0.3


class MasterSession(Session):
    """The part of the process that sends nothing itself."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._sinks: dict[str, FileSink] = {}
        self._ready: set[str] = set()
        self._done: set[str] = set()
        self._pong: AsyncResult[float] = AsyncResult()
        for name in ("rows", "facts", "pong", "ready", "done", "broke"):
            environment.runner.register_message(f"adx_{name}", getattr(self, f"_on_{name}"))

    def vitals(self) -> dict[str, Any]:
        """Return nothing: the load is the workers'."""
        return {}

    def sink(self) -> FileSink:
        """Return where the master tells how it is doing."""
        return FileSink(Path(self.spec.raw_dir), "master")

    def start_clock(self, began: float) -> None:
        """Let all workers begin at one moment."""
        super().start_clock(began + _LEAD_S)
        self.environment.runner.send_message("adx_go", {"began": began + _LEAD_S})
        if self.plan.kind == "open" and self.plan.duration_s < ENDLESS_S:
            # A worker that died will never be done.
            self._after(began + self.plan.duration_s + DRAIN_S + _GRACE_S - time.time(), self.finish)

    def drain(self) -> None:
        """Let the workers drain, and finish when all have."""
        self.ending = True
        self.environment.runner.send_message("adx_drain", {})
        self._after(DRAIN_S + _GRACE_S, self.finish)

    def on_test_stop(self) -> None:
        """Wait for the workers' last rows, then close everything."""
        deadline = time.monotonic() + _CLOSE_S
        while self._sinks and time.monotonic() < deadline:
            gevent.sleep(0.05)
        for sink in self._sinks.values():
            sink.close()
        self._sinks.clear()
        super().on_test_stop()

    def _quit(self) -> None:
        # Locust's quit alone would end this process's part before the workers' last rows.
        self.environment.runner.stop()
        super()._quit()

    def _prepare(self) -> None:
        """Do nothing: the master logs nobody in."""

    def _check(self) -> None:
        runner = self.environment.runner
        clients = [client.id for client in runner.clients.all]
        self._ready, self._done = set(), set()
        self.workers = len(clients)
        if not clients:
            raise MeasurementError("no worker is connected to the master", mend="start some")
        for index, client in enumerate(clients):
            offset_s = self._clock_offset(client)
            sink = self._sinks[client] = FileSink(Path(self.spec.raw_dir), f"worker-{index:03}")
            sink.tell({"t": time.time(), "clock_offset_s": offset_s, "client": client})
            told = {
                "spec": msgspec.json.encode(self.spec),
                "index": index,
                "workers": len(clients),
                "offset_s": offset_s,
                **{name: _content(getattr(self.spec, name)) for name in _FILES},
            }
            runner.send_message("adx_spec", told, client)

    def _clock_offset(self, client: str) -> float:
        """Return how far a worker's clock is ahead of ours: the quickest answer of several errs least."""
        measured = []
        for _ in range(_PINGS):
            self._pong = AsyncResult()
            sent = time.time()
            self.environment.runner.send_message("adx_ping", {}, client)
            try:
                theirs = self._pong.get(timeout=_ANSWER_S)
            except gevent.Timeout as error:
                raise MeasurementError(f"the worker {client} does not answer") from error
            received = time.time()
            measured.append((received - sent, theirs - (sent + received) / 2))
        return float(min(measured)[1])

    def _on_pong(self, environment: Any, msg: Any) -> None:  # noqa: ARG002  # Locust hands both by name
        self._pong.set(msg.data["now"])

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
        if len(self._done) == self.workers:
            self.finish()

    def _on_broke(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.environment.runner.send_message("adx_end", {})


class WorkerSession(Session):
    """The part of a process that a master leads."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._offset_s = 0.0
        for name in ("ping", "spec", "go", "drain", "end"):
            environment.runner.register_message(f"adx_{name}", getattr(self, f"_on_{name}"))

    def sink(self) -> _MessageSink:
        """Return where this process records: at the master's."""
        return _MessageSink(self.environment.runner)

    def on_spawned(self) -> None:
        """Do nothing: the master says when to begin."""

    def ready(self) -> None:
        """Say that this process could begin."""
        self.environment.runner.send_message("adx_ready", {})

    def done(self, unanswered: int) -> None:
        """Say that this process has sent all and waited for the answers."""
        self.tell(unanswered=unanswered)
        if self.recorder is not None:
            self.recorder.flush()
        self.environment.runner.send_message("adx_done", {})

    def finish(self) -> None:
        """Do nothing: the master stops the test."""
        self.ending = True

    def broke(self) -> None:
        """Say that a budget is broken."""
        super().broke()
        self.environment.runner.send_message("adx_broke", {})

    def _start_companion(self) -> None:
        """Start none: the master does."""

    def _reset(self) -> None:
        self.ending, self.in_flight, self.blocked_s, self.accounts = False, 0, 0.0, ()
        self.go, self.prepared, self.spawned = AsyncResult(), Event(), False

    def _on_ping(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.environment.runner.send_message("adx_pong", {"now": time.time()})

    def _on_spec(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        told = msg.data
        spec = msgspec.json.decode(told["spec"], type=LoadSpec)
        here = {name: _as_file(name, told[name]) for name in _FILES}
        self.spec = msgspec.structs.replace(spec, **here)
        self.plan = make_plan(self.spec, self.scenario, read_settings().load)
        self.index, self.workers, self._offset_s = told["index"], told["workers"], told["offset_s"]

    def _on_go(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.start_clock(msg.data["began"] + self._offset_s)

    def _on_drain(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        gevent.spawn(self.drain)

    def _on_end(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.ending = True


class _MessageSink:
    """A record that is sent to the master."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def write(self, batch: pa.RecordBatch) -> None:
        """Send requests."""
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, RAW_SCHEMA) as writer:
            writer.write_batch(batch)
        self._runner.send_message("adx_rows", {"rows": out.getvalue().to_pybytes()})

    def tell(self, facts: dict[str, Any]) -> None:
        """Send a line of facts."""
        self._runner.send_message("adx_facts", facts)

    def close(self) -> None:
        """Do nothing: the last line of facts said so."""


_FILES = ("sample_file", "schedule_file", "budget_file")


def _content(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path is not None and Path(path).exists() else None


def _as_file(name: str, content: bytes | None) -> str | None:
    """Keep a file of the master's under this process's id, since each worker of a machine gets its own."""
    if content is None:
        return None
    path = Path(tempfile.gettempdir()) / f"adx-lab-{name}-{os.getpid()}"
    path.write_bytes(content)
    return str(path)
