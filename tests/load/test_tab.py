"""What the lab's tab counts of a load's rows, whatever they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from adx_lab.load.web.failed import Failed


def test_odd_rows_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("tab_view.py")), str(tmp_path)]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert shown["watchers"] == 1  # one that raises is taken away
    assert (shown["requests"], shown["errors"]) == (2, 1)
    assert shown["failed"] == [
        {"endpoint": "RPC call", "status": "", "reason": "ValueError: no", "count": 1},
        {"endpoint": "U.go", "status": "raised", "reason": "KeyError: 'x'", "count": 1},
    ]


def test_reasons_that_never_repeat_fill_no_memory() -> None:
    failed = Failed()
    before = (0.0, 0.0, 1.0, "GET a", "other", None, 500, 0, "head", -1, None)
    failed.add([(*before, f"trace {n}", "GET", "request") for n in range(5_000)])
    (most, *_) = failed.shown()
    assert (most["endpoint"], most["reason"], most["count"]) == ("GET a", "(other reasons)", 4_000)
