from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_connection_above_the_thousandth_is_used_again_and_a_dead_one_is_not() -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("many_connections.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "['ok', 'ok', 'ok', 'ok'] 1 1 True"
