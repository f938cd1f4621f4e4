from __future__ import annotations

import json
import subprocess
import sys


def test_the_recorders_cost_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adx_lab.load.bench", "--turns", "4", "--turn-s", "0.2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["recorded_per_s"] > 0
    assert found["bare_per_s"] > 0
    assert found["cost"] < 1
