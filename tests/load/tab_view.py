"""Show the lab's tab odd rows; a process of its own, since Locust patches whoever imports it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adx_lab.load.web.tab import TabView  # isort: skip  # Locust's patches come before all else

from adx_lab.load.recording.recorder import Recorder
from adx_lab.load.recording.rows import EXCEPTION, FileSink


def main(folder: Path) -> None:
    """Print what the tab would draw."""
    recorder = Recorder(FileSink(folder, "worker-1"), "head")
    view = TabView()
    going = SimpleNamespace(ready=lambda: True, get=lambda: 0.0)
    session: Any = SimpleNamespace(
        order=SimpleNamespace(budget_file=None, scenario="theirs", raw_dir=str(folder / "none")),
        schedule=SimpleNamespace(describe=lambda: "as fast as it goes"),
        go=going,
        ending=False,
    )
    view.watch(session, recorder)
    for ms in (None, "5", 5.0):
        recorder.on_request("RPC", "call", ms, start_time=time.time())
    recorder.on_request("RPC", "call", 5.0, exception=ValueError("no"), start_time=time.time())
    raised = "KeyError: 'x'"
    recorder.keep(EXCEPTION, request_type="task", name="U.go", sent=time.time(), ms=None, error=raised)
    recorder.flush()
    sys.stdout.write(json.dumps({"watchers": len(recorder.watchers), **view.document()}))
    recorder.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
