"""A load ends, whatever its users do: what hangs is left behind or killed, and told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab import clock
from adx_lab.load.order import LoadOrder, write_order
from adx_lab.load.places import STAND_SIGNAL
from adx_lab.load.starting import following
from adx_lab.load.starting.following import Overdue, follow
from adx_lab.processes import Child
from adx_lab.progress import Silent
from tests.conftest import Home
from tests.load.conftest import TruthServer

SCHEDULE = {"kind": "other", "duration_s": 10.0, "warmup_s": 0.0}
LOOPS = """
import faulthandler, pathlib, sys
faulthandler.register(int(sys.argv[1]), all_threads=False)
pathlib.Path(sys.argv[2]).write_text(sys.argv[3])
while True:
    pass
"""


def told(**facts: object) -> str:
    return json.dumps({"t": clock.now(), **facts}) + "\n"


def began_long_ago() -> str:
    return told(began=clock.now() - 1_000, schedule=SCHEDULE)


def followed(tmp_path: Path, command: list[str], facts: str = "", *, more_setup_s: float = 0.0) -> Overdue:
    order = LoadOrder(raw_dir=str(tmp_path / "raw"), scenario="theirs")
    write_order(order, tmp_path / "raw" / "order.json")
    if facts:
        (tmp_path / "raw" / "worker-1.jsonl").write_text(facts)
    log = tmp_path / "locust.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            found = asyncio.run(
                follow(Child("locust", process, log), order, Silent(), more_setup_s=more_setup_s)
            )
        finally:
            process.kill()
    assert found is not None
    return found


def test_one_that_does_not_begin(tmp_path: Path) -> None:
    found = followed(tmp_path, ["sleep", "600"], more_setup_s=-following.SETUP_S)
    assert (found.began, found.words) == (False, "had not begun after 0 s")


def test_one_that_does_not_end(tmp_path: Path) -> None:
    found = followed(tmp_path, ["sleep", "600"], began_long_ago())
    assert found.began
    assert found.words == "had not ended 990 s after the end of its load"


def test_one_that_was_told_to_end_early_and_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_STOP_S", -1.0)
    facts = told(began=clock.now(), schedule=SCHEDULE) + told(ended=clock.now(), ended_by="x")
    assert "after the end of its load" in followed(tmp_path, ["sleep", "600"], facts).words


def test_one_whose_record_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LEAVE_S", -1.0)
    found = followed(tmp_path, ["sleep", "600"], told(began=1.0, schedule=SCHEDULE) + told(closed=True))
    assert "after its record was whole" in found.words


def test_one_that_never_hands_over_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "loops.py").write_text(LOOPS)
    facts = tmp_path / "raw" / "worker-1.jsonl"
    number = str(int(STAND_SIGNAL))
    command = [sys.executable, str(tmp_path / "loops.py"), number, str(facts), began_long_ago()]
    assert "it stood in loops.py, line " in followed(tmp_path, command).words


PLAIN = """
import threading, time, gevent
from gevent.monkey import get_original
from locust import HttpUser, constant, events, task

class Plain(HttpUser):
    wait_time = constant(0.1)
    fixed_count = 1

    @task
    def ask(self):
        self.client.get("/fixed", name="ok")
"""
ON_STOP = (
    PLAIN
    + """
    def on_stop(self):
        while True:
            try:
                gevent.sleep(9_999)
            except BaseException:
                pass
"""
)
SWALLOWS = (
    PLAIN
    + """
class Swallows(HttpUser):
    fixed_count = 1

    @task
    def ask(self):
        while True:
            try:
                gevent.sleep(9_999)
            except BaseException:
                pass
"""
)
BLOCKS = (
    PLAIN
    + """
class Blocks(HttpUser):
    fixed_count = 1

    @task
    def ask(self):
        gevent.sleep(2)
        {}
"""
)


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (ON_STOP, "hung", "Plain in theirs.py, line "),
        (SWALLOWS, "hung", "Swallows in theirs.py, line "),
        (BLOCKS.format("get_original('time', 'sleep')(9_999)"), "died", "it stood in theirs.py, line "),
        (BLOCKS.format("exec('while True: pass')"), "died", "it stood in theirs.py, line "),
        (
            PLAIN + "@events.quitting.add_listener\ndef _(**_):\n    gevent.sleep(9_999)\n",
            "overdue",
            "its record is whole",
        ),
        (
            PLAIN + "@events.test_stop.add_listener\ndef _(**_):\n    gevent.sleep(9_999)\n",
            "overdue",
            "its record is whole",
        ),
        (
            PLAIN + "import atexit\natexit.register(get_original('time', 'sleep'), 9_999)\n",
            "overdue",
            "its record is whole",
        ),
    ],
)
def test_whatever_hangs_the_load_ends_and_what_is_known_is_stored(
    home: Home, truth_server: TruthServer, text: str, code: str, said: str
) -> None:
    file = home.path / "theirs.py"
    file.write_text(text)
    asked = ("--users", "2", "--spawn-rate", "2", "--duration", "3", "--warmup", "0.5", "--json")
    done = home.adx_lab("load", "--locustfile", str(file), "--url", truth_server.url, *asked)
    document = done.json()
    told = {caveat["code"]: caveat["text"] for caveat in document["caveats"]}
    assert said in told[code], told
    assert document["audit"]["requests"] > 0
    if code == "died":
        assert done.code == 4
