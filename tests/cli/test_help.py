"""Help and a plan are shown at once: they load nothing that only other verbs need when they work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab.cli import VERBS

HEAVY = ("asyncpg", "locust", "numpy", "pandas", "plotly", "pyarrow", "scipy", "sqlalchemy")


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    said, heavy = run_words(verb, "--help")
    assert f"adx-lab {verb}" in said
    assert heavy == ""


def test_a_plan_is_shown_without_anything_heavy(tmp_path: Path) -> None:
    file = tmp_path / "plan.txt"
    file.write_text("Seq Scan on users  (cost=0.00..155.00 rows=10000 width=4)\n")
    said, heavy = run_words("plans", "show", str(file))
    assert "Seq Scan on users" in said
    assert heavy == ""


def run_words(*words: str) -> tuple[str, str]:
    """Run the command line in a process of its own; return what it says, and what heavy things it loaded."""
    program = (
        f"import sys; sys.argv = ['adx-lab', *{words!r}]\n"
        "from adx_lab.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr
