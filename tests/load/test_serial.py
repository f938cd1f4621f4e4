"""The serial movement: who is asked what, and in which order; and the bare connection that asks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest

from adx_lab.load.serial.movement import COLD, SERIAL, Mark, Movement, error_of
from adx_lab.load.serial.wire import Wire


class Kept:
    """A way to ask that keeps who was asked for what."""

    def __init__(self, endpoint: str, pairs_max: int | None = None) -> None:
        self.name = self.endpoint = endpoint
        self.pairs_max = pairs_max
        self.asked: list[tuple[Mark, float]] = []
        self.made: list[tuple[str, int]] = []

    def prepare(self, variant: str, count: int, _choose: Random) -> None:
        self.made.append((variant, count))

    def perform(self, mark: Mark, choose: Random) -> None:
        self.asked.append((mark, choose.random()))


def play(*ways: Kept, block: int = 1, times: int = 1) -> list[str]:
    reads: list[int] = []
    movement = Movement(("base", "head"), 0.02, block, 1, lambda: reads.append(len(reads)), pairs_times=times)
    return [one.endpoint for one in movement.play(ways)]


def test_both_are_asked_for_the_same_by_turns() -> None:
    way = Kept("GET /a")
    play(way)
    serial = [(mark, drawn) for mark, drawn in way.asked if mark.movement == SERIAL]
    pairs = [serial[at : at + 2] for at in range(0, len(serial), 2)]
    assert len(pairs) >= 24
    for first, second in pairs:
        assert first[0].pair == second[0].pair
        assert first[1] == second[1]
        assert {first[0].variant, second[0].variant} == {"base", "head"}
    leading = [first[0].variant for first, _ in pairs]
    assert all(one != other for one, other in itertools.pairwise(leading))


def test_the_next_block_begins_the_other_way_round_and_in_another_order() -> None:
    firsts = []
    orders = []
    for block in (1, 2):
        ways = [Kept(f"GET /{name}") for name in "abcdefgh"]
        orders.append(play(*ways, block=block))
        firsts.append(ways[0].asked[0][0].variant)
    assert firsts[0] != firsts[1]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_cold_ones_come_before_everything_and_what_is_needed_is_made_first() -> None:
    few = Kept("DELETE /a", pairs_max=3)
    play(few, Kept("GET /b"))
    assert few.made == [("base", 5), ("head", 5)]
    movements = [mark.movement for mark, _ in few.asked]
    assert movements == [COLD] * 4 + [SERIAL] * 6


def test_what_can_be_asked_only_so_often_is_asked_more_often_where_it_is_wanted() -> None:
    few = Kept("DELETE /a", pairs_max=3)
    play(few, times=2)
    assert few.made == [("base", 8), ("head", 8)]
    assert [mark.movement for mark, _ in few.asked] == [COLD] * 4 + [SERIAL] * 12


def test_pairs_that_differ_more_tell_less_and_a_stall_does_not_count() -> None:
    numbers = Random(1)
    steady, wild = ([numbers.gauss(0.1, spread) for _ in range(30)] for spread in (0.05, 0.5))
    assert error_of(steady[:7]) == float("inf")
    assert error_of(steady) == pytest.approx(0.05 / 30**0.5, rel=0.5)
    assert error_of(wild) > 5 * error_of(steady)
    assert error_of([*steady, 9.0]) == pytest.approx(error_of(steady), rel=0.2)
    assert error_of([-one for one in wild]) == pytest.approx(error_of(wild))


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/pieces":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"0\r\n\r\n", b"b" * 70_000, b"end"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/nothing":
            self.send_response(204)
            self.end_headers()
        else:
            status, body = (500, b"no") if self.path == "/broken" else (200, b"x" * 5)
            self.send_response(status)
            self.send_header("Server-Timing", "total;dur=1.5")
            self.send_header("Content-Length", str(len(body)))
            if self.path == "/last":
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = Wire(f"http://127.0.0.1:{server.server_port}", 5.0)
        yield made
        made.close()
        server.shutdown()


def test_answers_of_every_form_are_read_whole_over_one_connection(wire: Wire) -> None:
    def ask(path: str) -> tuple[int, int, str | None, str | None]:
        reply = wire.ask(wire.request("GET", path, {}, b""))
        return reply.status, len(reply.body), reply.timing, reply.error

    for _ in range(2):
        assert ask("/pieces") == (200, 5 + 70_000 + 3, None, None)
        assert ask("/nothing") == (204, 0, None, None)
        assert ask("/some") == (200, 5, "total;dur=1.5", None)
        assert ask("/broken") == (500, 2, "total;dur=1.5", "HTTP 500")
        assert ask("/last") == (200, 5, "total;dur=1.5", None)  # and then it connects anew


def test_nobody_there_is_a_failed_request() -> None:
    wire = Wire("http://127.0.0.1:1", 1.0)
    reply = wire.ask(wire.request("GET", "/", {}, b""))
    assert reply.status == 0
    assert reply.error is not None
