"""A Locust process that a master leads, on this machine or on another."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import gevent
import msgspec
import pyarrow as pa

from adx_lab import clock
from adx_lab.load.order import LoadOrder
from adx_lab.load.process.admission import versions
from adx_lab.load.process.master import SENT_FILES
from adx_lab.load.process.session import Session
from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import RAW_SCHEMA
from adx_lab.load.schedules.schedule import make_schedule
from adx_lab.settings import read_settings


class WorkerSession(Session):
    """The part of a process that a master leads."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._offset_s = 0.0
        self._reported = {"num_requests": 0, "num_failures": 0}
        environment.events.report_to_master.add_listener(self._on_report)
        for name in ("ping", "order", "go", "drain", "end"):
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

    def _tell_count(self, recorder: Recorder) -> None:
        """Tell what Locust has counted here: what was reported, and what came after the last report."""
        total = self.environment.stats.total
        recorder.tell(
            locust_requests=self._reported["num_requests"] + total.num_requests,
            locust_failures=self._reported["num_failures"] + total.num_failures,
            rows=recorder.requests,
        )

    def _quit_if_left(self) -> None:
        """Do nothing: the master ends it."""

    def _on_report(self, client_id: str, data: Any) -> None:  # noqa: ARG002  # Locust hands both by name
        # Locust sets the counters back with each report.
        for name in self._reported:
            self._reported[name] += data["stats_total"][name]

    def _take_order(self) -> None:
        """Do nothing: the master has told what the load is."""

    def _reset(self) -> None:
        super()._reset()
        self._reported = dict.fromkeys(self._reported, 0)

    def _on_ping(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        self.environment.runner.send_message("adx_pong", {"now": clock.now(), "versions": versions()})

    def _on_order(self, environment: Any, msg: Any) -> None:  # noqa: ARG002
        told = msg.data
        order = msgspec.json.decode(told["order"], type=LoadOrder)
        here = {name: _as_file(name, told[name]) for name in SENT_FILES}
        self.order = msgspec.structs.replace(order, **here)
        self.schedule = make_schedule(self.order, self.scenario, read_settings().load)
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


def _as_file(name: str, content: bytes | None) -> str | None:
    """Keep a file of the master's under this process's id, since each worker of a machine gets its own."""
    if content is None:
        return None
    path = _own_folder() / name
    path.write_bytes(content)
    return str(path)


@cache
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="adx-lab-")  # nobody else's, under a name that nobody can guess
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
