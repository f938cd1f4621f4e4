"""Help and a plan are shown at once: they load nothing that only other verbs need when they work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab.cli import VERBS
from adx_lab.cli.help_text import EXAMPLES, flat

HEAVY = ("asyncpg", "locust", "numpy", "pandas", "plotly", "pyarrow", "scipy", "sqlalchemy")


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    said, heavy = run_words(verb, "--help")
    assert f"adx-lab {verb}" in said
    assert heavy == ""


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example_that_is_read_as_it_stands(verb: str) -> None:
    said, _ = run_words(verb, "--help")
    assert "``" not in said
    for one in EXAMPLES[verb].split(";"):
        assert one.strip() in said
        named = [word for word in one.split() if word.startswith("--")]
        assert all(word in said for word in named), named


def test_help_draws_no_markdown() -> None:
    program = "import sys; from adx_lab.cli import _run; _run(['duet', '--help'], debug=False); "
    program += "sys.exit('markdown_it' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_a_paragraph_is_one_line() -> None:
    text = """Do it.

    A paragraph of
    two lines.

    Parameters
    ----------
    one
        Of ``two``
        lines.
    other
        Of one.
    """
    assert flat(text).splitlines() == [
        *("Do it.", "", "A paragraph of two lines.", "", "Parameters", "----------"),
        *("one", "    Of two lines.", "other", "    Of one."),
    ]


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
