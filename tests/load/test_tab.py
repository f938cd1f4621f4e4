"""What the lab's tab counts of a load's rows, whatever they hold."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import EXCEPTION, FileSink
from adx_lab.load.web.failed import Failed
from adx_lab.load.web.tab import View


class Going:
    """The word to begin, given already."""

    def ready(self) -> bool:
        return True

    def get(self) -> float:
        return 0.0


def test_odd_rows_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    recorder = Recorder(FileSink(tmp_path, "worker-1"), "head")
    view = View()
    order = SimpleNamespace(budget_file=None, scenario="theirs", raw_dir=str(tmp_path / "none"))
    schedule = SimpleNamespace(describe=lambda: "as fast as it goes")
    session = SimpleNamespace(order=order, schedule=schedule, go=Going(), ending=False)
    view.watch(session, recorder)  # type: ignore[arg-type]  # all of a session that the tab looks at
    for ms in (None, "5", 5.0):
        recorder.on_request("RPC", "call", ms, start_time=time.time())
    recorder.on_request("RPC", "call", 5.0, exception=ValueError("no"), start_time=time.time())
    recorder.keep(
        EXCEPTION, request_type="task", name="U.go", sent=time.time(), ms=None, error="KeyError: 'x'"
    )
    recorder.flush()
    assert len(recorder.watchers) == 1  # one that raises is taken away
    document = view.document()
    assert (document["requests"], document["errors"]) == (2, 1)
    assert document["failed"] == [
        {"endpoint": "RPC call", "status": "", "reason": "ValueError: no", "count": 1},
        {"endpoint": "U.go", "status": "raised", "reason": "KeyError: 'x'", "count": 1},
    ]
    recorder.close()


def test_reasons_that_never_repeat_fill_no_memory() -> None:
    failed = Failed()
    rows = [
        (0.0, 0.0, 1.0, "GET a", "other", None, 500, 0, "head", -1, None, f"trace {n}", "GET", "request")
        for n in range(5_000)
    ]
    failed.add(rows)
    assert failed.shown()[0] == {
        "endpoint": "GET a",
        "status": "500",
        "reason": "(other reasons)",
        "count": 4_000,
    }
