"""Nothing that a load sent, raised or lost goes unrecorded: real Locust, our count beside its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Finished, Home

ODD = """
import itertools, time
from types import SimpleNamespace
from locust import FastHttpUser, HttpUser, constant, events, task
from locust.exception import RescheduleTask

@events.init.add_listener
def at_init(environment, **_):
    @environment.events.request.add_listener
    def break_off(name, exception=None, **_):
        if exception and name != "login":
            raise RescheduleTask()

class Headers(list):
    pass

class Worse:
    def __str__(self):
        raise ValueError("no words")

ODD = [
    {"name": "no start"},
    {"name": "counter start", "start_time": 12.5},
    {"name": "no time", "response_time": None, "start_time": time.time},
    {"name": "caf\\udce9"},
    {"name": 17},
    {"name": "text status", "response": SimpleNamespace(status_code="OK", headers={})},
    {"name": "large status", "response": SimpleNamespace(status_code=70_000, headers={})},
    {"name": "pairs", "response": SimpleNamespace(status_code=0, headers=[("a", "b")])},
    {"name": "text error", "exception": "it broke"},
    {"name": "worse error", "exception": Worse()},
    {"name": "context is text", "context": "mine"},
    {"name": "our words", "context": {"tenant": 7, "endpoint": "theirs", "intended": "x", "pair": "y"}},
    {"name": "text length", "response_length": "many"},
]

class Odd(HttpUser):
    wait_time = constant(0.02)
    events_to_come = itertools.cycle(ODD)

    def context(self):
        return {"tenant": 7, "endpoint": "theirs"}

    def on_start(self):
        self.client.get("/status/401", name="login")

    def on_stop(self):
        self.client.get("/ok", name="logout")

    @task(4)
    def plain(self):
        self.client.get("/ok", name="plain")

    @task(2)
    def bad(self):
        self.client.get("/status/500", name="bad")

    @task(4)
    def fire(self):
        odd = dict(next(self.events_to_come))
        if callable(odd.get("start_time")):
            odd["start_time"] = odd["start_time"]()
        usual = {"request_type": "RPC", "response_time": 5.0, "response_length": 1, "exception": None}
        self.environment.events.request.fire(**usual | {"context": {}} | odd)

    @task(1)
    def raises(self):
        raise KeyError("jwt")

    @task(1)
    def stream(self):
        for _ in self.client.get("/stream", stream=True, name="slow stream").iter_lines():
            pass

class Fast(FastHttpUser):
    wait_time = constant(0.1)
    fixed_count = 1

    @task
    def stream(self):
        for _ in self.client.get("/stream", stream=True, name="fast stream").stream:
            pass
"""

HANG = """
import socket
import time
from urllib.parse import urlsplit
from locust import FastHttpUser, HttpUser, User, constant, task

class Slow(HttpUser):
    wait_time = constant(0.1)
    fixed_count = 1

    @task
    def ask(self):
        self.client.get("/hang", name="slow")

class Fast(FastHttpUser):
    wait_time = constant(0.1)
    fixed_count = 1

    @task
    def ask(self):
        self.client.get("/hang", name="fast")

class Own(User):
    wait_time = constant(0.1)
    fixed_count = 1

    @task
    def ask(self):
        parts = urlsplit(self.host)
        with socket.create_connection((parts.hostname, parts.port)) as line:
            line.recv(1)

class Thinking(HttpUser):
    fixed_count = 1

    @task
    def think(self):
        self.client.get("/ok", name="ok")
        time.sleep(600)
"""

QUITS = """
import itertools
from locust import HttpUser, constant, events, task

@events.quitting.add_listener
def judge(environment, **_):
    environment.process_exit_code = 7

class Quits(HttpUser):
    wait_time = constant(0.05)
    sent = itertools.count()

    @task
    def ask(self):
        self.client.get("/ok", name="ok")
        if next(self.sent) > 250:
            self.environment.runner.quit()
"""

PLAIN = """
from locust import HttpUser, constant, task

class Plain(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/ok", name="ok")
"""


STREAM_S = 0.3
"""How long a stream goes on after its first byte; of its two pieces each is followed by half of it."""

BARE = "class U(HttpUser):\n    wait_time = constant(0.2)\n"
IDLE = "    @task\n    def go(self):\n        pass\n"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    over = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.over.wait(120)
            self.close_connection = True
            return
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            for piece in (b"a\n", b"b\n"):
                self.wfile.write(piece)
                self.over.wait(STREAM_S / 2)
            return
        status = int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def answers() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Answers.over.set()
        server.shutdown()
        thread.join()


def load(home: Home, url: str, text: str, *words: str, environ: dict[str, str] | None = None) -> Finished:
    file = home.path / "theirs.py"
    file.write_text(text)
    asked = ("--locustfile", str(file), "--url", url, "--warmup", "0.5")
    return home.adx_lab("load", *asked, *words, environ=environ)


def caveats(document: Any) -> dict[str, str]:
    return {item["code"]: item["text"] for item in document["caveats"]}


def broken(document: Any) -> set[str]:
    # What else the machine does is no matter of the record.
    machine = {"foreign_cpu_share", "steal_share", "loop_lag_p99_ms", "schedule_lag_p99_ms", "cpu_share_max"}
    return {check["check"] for check in document["validity"] if not check["ok"]} - machine


def tables(document: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = Path(document["folder"])
    return pd.read_parquet(folder / "samples.parquet"), pd.read_parquet(folder / "beside.parquet")


def test_whatever_is_fired_is_recorded_and_the_count_is_locusts(home: Home, answers: str) -> None:
    document = load(home, answers, ODD, "--users", "5", "--duration", "3", "--json").json()
    audit, told = document["audit"], caveats(document)
    samples, beside = tables(document)
    assert audit["requests"] + audit["warmup_requests"] == audit["locust"]["requests"]
    failed = sum(row["count"] for row in (*document["failures"], *audit["beside_failures"]))
    assert failed == audit["locust"]["failures"]
    assert "count_differs" not in told
    names = set(samples["endpoint"]) | set(beside["endpoint"])
    odd = {"no start", "counter start", "no time", "caf\\udce9", "17", "text status", "large status", "pairs"}
    odd |= {"text error", "worse error", "context is text", "our words", "text length"}
    # A Locust that ends as it should is no death.
    assert (audit["deaths"], audit["process_exit_code"]) == ([], 0)
    assert names >= {"GET plain", "GET bad", *(f"RPC {name}" for name in odd)}
    assert "theirs" not in names
    assert set(samples["request_type"]) == {"GET", "RPC"}
    assert "odd_values" in told
    # on_start, on_stop and what tasks raise are told apart from the requests that are measured, and told.
    assert (beside["kind"] == "on_start").sum() == 4
    assert (beside["kind"] == "on_stop").sum() == 4
    assert "GET login" not in set(samples["endpoint"])
    assert "login" in told["failures_beside"]
    assert document["exceptions"][0]["text"] == "KeyError: 'jwt'"
    assert document["exceptions"][0]["where"].startswith("theirs.py:")
    assert "raise KeyError" in document["exceptions"][0]["traceback"]
    assert (beside["kind"] == "exception").sum() == audit["task_exceptions"] > 0
    bad = next(row for row in document["failures"] if row["endpoint"] == "GET bad")
    assert (bad["status"], "500" in bad["reason"]) == (500, True)
    assert (samples["t_sent_s"].between(-0.5, 3.5)).all()
    # Of an answer that is a stream Locust tells the first byte; the end is told beside it.
    streams = {row["endpoint"]: row for row in audit["streams"]}
    assert set(streams) == {"GET slow stream", "GET fast stream"}
    for name, row in streams.items():
        assert row["end_p50_ms"] >= 1000 * STREAM_S / 2
        assert samples[samples["endpoint"] == name]["service_ms"].median() < row["end_p50_ms"]
        assert row["count"] <= (beside["kind"] == "stream_end").sum()
    page = Path(document["report"]).read_text(encoding="utf-8")
    assert "What failed" in page
    assert bad["reason"] in page
    assert "KeyError" in page


def test_what_is_never_answered_is_a_row_with_its_waiting_time(home: Home, answers: str) -> None:
    done = load(home, answers, HANG, "--users", "4", "--duration", "2", "--json")
    document = done.json()
    samples, _ = tables(document)
    waiting = samples[samples["kind"] == "unanswered"]
    assert set(waiting["endpoint"]) == {"GET slow", "GET fast", "task Own.ask"}
    assert (waiting["latency_ms"] > 2_000).all()
    assert document["audit"]["unanswered"] == len(waiting) == 3
    assert "unanswered" in broken(document)
    assert done.code == 4
    slow = next(row for row in document["endpoints"] if row["subject"] == "GET slow")
    assert slow["max_ms"] > 2_000
    assert any(caveat["code"] == "at-least" for caveat in slow["caveats"])


def test_a_load_that_ends_early_says_who_ended_it(home: Home, answers: str) -> None:
    done = load(home, answers, QUITS, "--users", "2", "--duration", "30", "--json")
    document = done.json()
    assert "theirs.py, line" in caveats(document)["ended_early"]
    assert "ended_early_s" in broken(document)
    assert document["audit"]["process_exit_code"] == 7
    assert "exit code 7" in caveats(document)["exit_code"]
    assert done.code != 0
    lasted_s = document["audit"]["duration_s"]
    # The rate is that of the measured time, however little of it the requests fill.
    assert document["endpoints"][0]["rate_per_s"] == pytest.approx(document["audit"]["requests"] / lasted_s)
    assert document["audit"]["users"][-1][1] in {0, 1, 2}


@pytest.mark.parametrize("ending", ["quit", "stop"])
def test_a_user_that_ends_the_test_ends_locust_and_loses_nothing(
    home: Home, answers: str, ending: str
) -> None:
    text = PLAIN.replace(
        'self.client.get("/ok", name="ok")',
        f"""self.client.get("/ok", name="ok", context={{"adx_pair": None}})
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked > 40:
            self.environment.runner.{ending}()""",
    )
    document = load(home, answers, text, "--users", "1", "--duration", "60", "--json").json()
    assert "theirs.py, line" in caveats(document)["ended_early"]
    audit = document["audit"]
    assert audit["requests"] + audit["warmup_requests"] == audit["locust"]["requests"] == 41


def test_locusts_own_run_time_is_told(home: Home, answers: str) -> None:
    done = load(
        home, answers, PLAIN, "--users", "2", "--duration", "30", "--json", environ={"LOCUST_RUN_TIME": "12s"}
    )
    assert "LOCUST_RUN_TIME" in caveats(done.json())["ended_early"]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("class U(HttpUser):\n    pass\n", 2, "No tasks defined on U"),
        (
            BARE + "    @task\n    def go(self):\n        raise KeyError('jwt')\n",
            4,
            "KeyError: 'jwt' was raised in U.go",
        ),
        (
            BARE + "    def on_start(self):\n        self.client.get('/ok')\n" + IDLE,
            4,
            "of on start",
        ),
        (
            BARE + IDLE,
            4,
            "the users' tasks sent none",
        ),
    ],
)
def test_no_request_says_which_of_the_reasons_it_was(
    home: Home, answers: str, body: str, code: int, said: str
) -> None:
    text = "from locust import HttpUser, constant, task\n" + body
    done = load(home, answers, text, "--users", "1", "--duration", "1")
    assert done.code == code, done.err
    (line,) = done.error_lines
    assert said in line
    assert not list((home.data / "runs").glob("[!.]*"))


def test_names_without_end_are_a_caveat(home: Home, answers: str) -> None:
    # However slowly this machine answers, there are more than enough.
    many = """for number in range(400):
            self.environment.events.request.fire(
                request_type="GET", name=f"/items/{number}", response_time=1.0, response_length=0
            )"""
    text = PLAIN.replace("        self.client", f"        {many}\n        self.client")
    done = load(home, answers, text, "--users", "4", "--duration", "3")
    told = [line for line in done.out.splitlines() if line.startswith("caveat:")]
    assert any("name=" in line for line in told), told
    assert "more endpoints" in done.out
    assert len(done.out.splitlines()) < 120
