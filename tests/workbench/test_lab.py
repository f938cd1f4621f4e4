"""The Python API on the session's stack, and in a kernel of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from adx_lab import Lab
from adx_lab.errors import UsageError
from adx_lab.report.parts.figure import Figure
from adx_lab.report.plans.svg import PlanFigure
from tests.conftest import Home
from tests.stack.test_processes import gone


@pytest.fixture(scope="module")
def lab(stack_home: Home) -> Iterator[Lab]:
    with Lab(home=stack_home.path) as made:
        yield made


@pytest.fixture(scope="module")
def run(lab: Lab) -> Any:
    return lab.load("users", rate_per_s=60, duration_s=3, warmup_s=1)


async def test_a_load_is_one_call_on_a_running_loop(lab: Lab, run: Any) -> None:
    # This test is a coroutine: its loop runs, as a notebook's does.
    latency = run.latency().frame
    assert {"endpoint", "requests", "p95_ms", "p95_low_ms", "max_ms"} <= set(latency.columns)
    assert latency["requests"].sum() == len(run.samples)
    assert lab.run(run.id).id == run.id
    assert run.id in set(lab.runs().frame["run_id"])
    commits = [row[-1] for row in lab.runs().shown[0].texts]
    assert not [words for words in commits if '"' in words]
    assert str(lab.settings.home_dir) not in repr(lab)  # a notebook is published with what it shows
    assert "requests" in repr(run)


def test_every_result_has_a_frame_and_something_to_see(run: Any) -> None:
    for name in ("latency", "timeline", "tails", "budgets", "cache", "resources", "plans", "statements"):
        result = getattr(run, name)()
        assert len(result.frame), name
        assert result.shown, name
    assert any(isinstance(part, Figure) for part in run.latency("tenant").shown)
    assert set(run.validity().frame.columns) == {"check", "value", "limit", "ok"}


def test_a_plan_is_one_call(lab: Lab) -> None:
    known = lab.explain("users.list", tenant="whale")
    assert {"users.list.first", "users.list.after"} <= set(known.frame["query"])
    assert known.frame["self_ms"].notna().all()
    pictures = [part for part in known.shown if isinstance(part, PlanFigure)]
    assert len(pictures) == known.frame["query"].nunique()
    assert "of 10 ms" in pictures[0].html()
    typed = lab.explain("select count(*) from users where is_active")
    assert typed.frame["rows"].iloc[0] == 1
    assert typed.caveats == ()


def test_a_statement_that_writes_is_planned_only(lab: Lab) -> None:
    before = lab.explain("select count(*) from users").frame["shared_hit"].iloc[0]
    result = lab.explain("delete from users")
    assert result.caveats[0].code == "not-executed"
    assert result.frame["self_ms"].isna().all()
    assert lab.explain("select count(*) from users").frame["shared_hit"].iloc[0] == before


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda lab: lab.explain("users.lst"), "did you mean users.list"),
        (lambda lab: lab.explain("users.get", tenant="wale"), "unknown tenant wale; did you mean whale"),
        (lambda lab: lab.explain("select 1; drop table users"), "PostgreSQL refuses the statement"),
        (lambda lab: lab.load("mixd"), "did you mean mixed"),
        (lambda lab: lab.load(rate_per_s=0), "rate_per_s 0 is not a positive number"),
        (lambda lab: lab.run("nothing"), "there is no run nothing"),
        (lambda lab: lab.duet(".", ".+cache.l9=off"), "cache.l9"),
        (lambda _: Lab(settings={"load.rte_per_s": 1}), "did you mean load.rate_per_s"),
    ],
)
def test_wrong_use_is_one_line(lab: Lab, call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(lab)


def test_the_magic_draws_a_cell_of_sql(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "adx_lab")
    shell.user_ns["lab"] = lab
    result = shell.run_cell_magic("explain", "plan", "select * from users\nlimit 1")
    assert shell.user_ns["plan"] is result
    assert isinstance(result.shown[0], PlanFigure)
    assert shell.run_cell_magic("explain", "", "selec 1") is None
    assert shell.run_cell_magic("explain", "2x", "select 1") is None
    told = capsys.readouterr().err.splitlines()
    assert [line.startswith("adx-lab: ") for line in told if line] == [True, True]


def test_a_lab_of_its_own_stops_its_stack_with_its_process(home: Home) -> None:
    script = (
        "from adx_lab import Lab\n"
        "import sys\n"
        "lab = Lab()\n"
        "assert len(lab.explain('users.get').frame)\n"
        "assert 'locust' not in sys.modules and 'gevent' not in sys.modules\n"
        "from adx_lab.services.stack_state import read_state\n"
        "state = read_state(lab.settings)\n"
        "print(*(pid for pids in state.processes.values() for pid in pids))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=home.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert done.returncode == 0, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) >= 4
    assert all(gone(pid) for pid in pids)
    assert home.adx_lab("down", "--purge").code == 0
