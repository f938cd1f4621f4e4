from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import msgspec
import pytest

from adx_lab.core.monitoring.alerts import Alert, Totals, Watch
from adx_lab.core.monitoring.metrics import BOUNDS_MS
from adx_lab.core.settings import AlertSettings
from tests.core.harness import Core, eventually

SETTINGS = AlertSettings(window_s=60, requests_min=10)


def seen(*, fast: int = 0, slow: int = 0, failed: int = 0, memory: float = 0.0) -> Totals:
    """Totals after so many requests of 2 ms, of 400 ms, and that failed."""
    counts = [0.0] * (len(BOUNDS_MS) + 2)
    counts[BOUNDS_MS.index(2.0)] = fast
    counts[BOUNDS_MS.index(500.0)] = slow
    ok, bad = (("method", "GET"), ("status", "200")), (("method", "GET"), ("status", "503"))
    path = (("method", "GET"), ("path", "/api/v1/users"), ("status", "200"))
    return {
        ("histogram", "http_request_duration_ms", path): counts,
        ("counter", "http_requests_total", ok): [float(fast + slow - failed)],
        ("counter", "http_requests_total", bad): [float(failed)],
        ("gauge", "memory_usage_bytes", ()): [memory],
    }


def told(alerts: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.alert, alert.state) for alert in alerts]


def test_a_slow_tail_is_told_once_and_its_end_once() -> None:
    watch = Watch(SETTINGS)
    assert told(watch.look(0, seen())) == []
    assert told(watch.look(10, seen(fast=100))) == []
    assert told(watch.look(20, seen(fast=100, slow=20))) == [("response_p95_ms", "firing")]
    assert told(watch.look(30, seen(fast=100, slow=40))) == []
    assert told(watch.look(100, seen(fast=1100, slow=40))) == [("response_p95_ms", "resolved")]


def test_a_slow_tail_that_an_average_would_hide_is_seen() -> None:
    watch = Watch(SETTINGS)
    watch.look(0, seen())
    alerts = watch.look(10, seen(fast=94, slow=6))  # a mean of 26 ms
    assert told(alerts) == [("response_p95_ms", "firing")]
    assert alerts[0].value == 500.0


def test_what_was_before_the_window_does_not_count() -> None:
    watch = Watch(SETTINGS)
    watch.look(0, seen(slow=1000))
    assert told(watch.look(61, seen(fast=100, slow=1000))) == []


def test_few_requests_make_no_alert() -> None:
    watch = Watch(SETTINGS)
    watch.look(0, seen())
    assert told(watch.look(10, seen(slow=1, failed=1))) == []


def test_failures_in_small_numbers_are_told_and_silence_ends_nothing() -> None:
    watch = Watch(AlertSettings())
    watch.look(0, seen())
    assert told(watch.look(5, seen(failed=9, fast=9))) == [("error_rate", "firing")]
    assert told(watch.look(90, seen(failed=9, fast=9))) == []  # nobody calls any more
    assert told(watch.look(95, seen(failed=9, fast=1000))) == [("error_rate", "resolved")]


def histogram(name: str, bound: float, count: int, **labels: str) -> Totals:
    counts = [0.0] * (len(BOUNDS_MS) + 2)
    counts[BOUNDS_MS.index(bound)] = count
    return {("histogram", name, tuple(sorted(labels.items()))): counts}


def test_each_query_and_endpoint_is_judged_by_itself_streams_apart_and_the_queue_too() -> None:
    duration, query = "http_request_duration_ms", "db_query_duration_ms"
    users, export = {"method": "GET", "path": "/users"}, {"method": "GET", "path": "/export"}
    begun = [
        histogram(duration, 2.0, 0, **users), histogram(duration, 5_000.0, 0, **export),
        histogram(query, 0.5, 0, query="users.get"), histogram(query, 2_500.0, 0, query="users.list"),
        histogram("event_loop_lag_ms", 200.0, 0),
    ]  # fmt: skip
    ended = [
        histogram(duration, 2.0, 1_000, **users), histogram(duration, 5_000.0, 70, **export),
        histogram(query, 0.5, 1_000, query="users.get"), histogram(query, 2_500.0, 49, query="users.list"),
        histogram("event_loop_lag_ms", 200.0, 100),
    ]  # fmt: skip
    watch = Watch(AlertSettings(), frozenset({"/export"}))
    watch.look(0, {key: value for totals in begun for key, value in totals.items()})
    alerts = watch.look(5, {key: value for totals in ended for key, value in totals.items()})
    assert [(alert.alert, alert.subject) for alert in alerts] == [
        ("query_p95_ms", "users.list"), ("queue_p95_ms", ""),
    ]  # fmt: skip


def test_errors_and_memory_are_watched() -> None:
    watch = Watch(SETTINGS)
    watch.look(0, seen())
    alerts = told(watch.look(10, seen(fast=100, failed=2, memory=500e6)))
    assert alerts == [("error_rate", "firing"), ("memory_bytes", "firing")]
    assert told(watch.look(20, seen(fast=1000, failed=2, memory=380e6))) == [("error_rate", "resolved")]
    assert told(watch.look(30, seen(fast=1000, failed=2, memory=300e6))) == [("memory_bytes", "resolved")]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(msgspec.json.decode(self.rfile.read(int(self.headers["content-length"]))))
            # The first one fails: the alert has to be told again.
            self.send_response(500 if len(received) == 1 else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("off", [False, True])
def test_thresholds(off: bool, start_core: Callable[..., Core], webhook: tuple[str, list[Any]]) -> None:
    url, received = webhook
    core = start_core(
        alerts_webhook_url=url, alerts_every_s=0.1, alerts_memory_bytes=1000, alerts_queue_p95_ms=1e9,
        workers=2,
        rules_off="alerts.thresholds" if off else "",
    )  # fmt: skip
    for _ in range(10):
        httpx.get(f"{core.url}/metrics")
    if off:
        assert not received
        return
    eventually(lambda: len(received) >= 2)
    assert received[0] == received[1]
    assert (received[1]["alert"], received[1]["state"]) == ("memory_bytes", "firing")
    assert len(core.logged("alert firing")) == 1
