"""Help answers at once: it loads nothing that a verb needs only when it works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adx_lab.cli import VERBS

HEAVY = ("asyncpg", "locust", "numpy", "pandas", "plotly", "pyarrow", "scipy", "sqlalchemy")


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    program = (
        f"import sys; sys.argv = ['adx-lab', {verb!r}, '--help']\n"
        "from adx_lab.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"adx-lab {verb}" in done.stdout
    assert done.stderr == ""
