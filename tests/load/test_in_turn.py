"""A plain locustfile's users ask two variants in turn, each task by itself."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from adx_lab.errors import MeasurementError
from adx_lab.load.order import Rival
from adx_lab.load.serial.movement import COLD, SERIAL
from adx_lab.load.serial.order import RefusedError, SerialOrder, SerialRecord
from adx_lab.load.starting.plain_movement import PlainPlayers, PlainUsers

FILE = """
import random
from locust import HttpUser, LoadTestShape, SequentialTaskSet, TaskSet, between, tag, task

class Crowd(LoadTestShape):
    def tick(self):
        return (7, 7) if self.get_run_time() < 0.1 else None

class Checkout(SequentialTaskSet):
    @task
    def fill(self):
        self.client.post("/basket")

    @task
    def pay(self):
        self.client.post("/payment")
        self.interrupt()

class Browse(TaskSet):
    @task(9)
    def page(self):
        self.client.get("/articles", params={"page": random.randint(1, 1_000)})

    @task
    def leave(self):
        self.interrupt()

class Somebody(HttpUser):
    wait_time = between(5, 9)
    tasks = [Browse, Checkout]

    def on_start(self):
        self.client.get("/login").raise_for_status()

    @task(3)
    def look(self):
        for number in (1, 2, 2):
            self.client.get(f"/article/{number}", name="/article/[id]")

    @task
    def stumble(self):
        self.client.get("/stumble")
        raise RuntimeError("as real files do")

    @tag("slow")
    @task
    def never(self):
        self.client.get("/never")
"""


SCENARIO = """
from adx_lab.load.users.open_loop import OpenLoopUser

class Own(OpenLoopUser):
    abstract = False
"""


@dataclass
class Server:
    url: str
    asked: list[str] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def serve(*, refuses: bool = False) -> Iterator[Server]:
    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(self.path)
            self.send_response(403 if server.refuses and self.path == "/login" else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_POST = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}", refuses=refuses)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield server
        http.shutdown()


def play(
    folder: Path, base: Server, head: Server, *, text: str = FILE, endpoints: tuple[str, ...] | None = None
) -> list[SerialRecord]:
    """Play all, and then what is wanted, with the same users."""
    file = folder / "shop.py"
    file.write_text(text)
    users = PlainUsers(file, folder / "locust.log", 0.5, words=("--exclude-tags", "slow"))
    rivals = (Rival(variant="base", url=base.url), Rival(variant="head", url=head.url))
    reads: list[int] = []

    def order(name: str, wanted: tuple[str, ...] | None) -> SerialOrder:
        return SerialOrder(rivals, 0.02, 1, 1, 5.0, folder / name, wanted)

    async def both() -> list[SerialRecord]:
        async with PlainPlayers(users) as players:
            return [
                await asyncio.to_thread(
                    players.play, order(f"part-{place}", wanted), lambda: reads.append(1), lambda: None
                )
                for place, wanted in enumerate([None, endpoints] if endpoints else [None])
            ]

    return asyncio.run(both())


def samples(folder: Path, movement: str = SERIAL) -> pd.DataFrame:
    told: pd.DataFrame = pq.read_table(folder / movement / "samples.parquet").to_pandas()
    return told


def test_each_task_is_done_at_both_with_the_same_random_numbers(tmp_path: Path) -> None:
    with serve() as base, serve() as head:
        first, second = play(tmp_path, base, head, endpoints=("GET /articles?page=…",))
    assert first.movements == (COLD, SERIAL)
    measured = {one.endpoint: one.pairs for one in first.measured}
    assert set(measured) == {
        "GET /articles?page=…",
        "GET /article/[id]",
        "GET /stumble",
        "POST /basket, POST /payment",
    }
    told = samples(tmp_path / "part-0")
    pairs = told.groupby(["endpoint", "pair", "variant"]).size()
    assert (pairs == 1).all()  # three requests of one task are three pairs
    assert (told.groupby(["endpoint", "pair"])["variant"].nunique() == 2).all()
    counts = Counter(told["endpoint"])
    assert counts["GET /article/[id]"] == 2 * 3 * measured["GET /article/[id]"]
    assert counts["POST /payment"] == counts["POST /basket"] == 2 * measured["POST /basket, POST /payment"]
    pages = [[path for path in one.asked if path.startswith("/articles")] for one in (base, head)]
    assert pages[0] == pages[1]
    assert len(set(pages[0])) > 2
    assert not [path for path in base.asked if path == "/never"]
    assert base.asked.count("/login") == 1
    # What began first alternates.
    ordered = told[told["endpoint"] == "GET /stumble"].sort_values("t_sent_s")["variant"].tolist()
    leading = ordered[::2]
    assert leading == [leading[0], "head" if leading[0] == "base" else "base"] * (len(leading) // 2) + (
        leading[:1] if len(leading) % 2 else []
    )
    assert {one.endpoint for one in second.measured} == {"GET /articles?page=…"}


def test_a_variant_that_lets_no_user_start_is_named(tmp_path: Path) -> None:
    with (
        serve() as base,
        serve(refuses=True) as head,
        pytest.raises(RefusedError, match="Somebody") as caught,
    ):
        play(tmp_path, base, head)
    assert caught.value.variant == "head"


def test_a_scenario_of_the_lab_has_no_tasks_and_no_variant_is_to_blame(tmp_path: Path) -> None:
    with serve() as base, pytest.raises(MeasurementError, match="no task") as caught:
        play(tmp_path, base, base, text=SCENARIO)
    assert not isinstance(caught.value, RefusedError)


def test_a_file_that_cannot_be_played_is_one_line_with_its_log(tmp_path: Path) -> None:
    with serve() as base, pytest.raises(MeasurementError, match="one request at a time") as caught:
        play(tmp_path, base, base, text="import nothing_of_this_name")
    assert "nothing_of_this_name" in (tmp_path / "locust.log").read_text()
    assert str(tmp_path / "locust.log") in str(caught.value)
