"""A real service under OpenTelemetry's own instrumentation tells the lab where its time goes."""

from __future__ import annotations

import gzip
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from adx_lab.analysis.spans.findings import span_findings
from adx_lab.analysis.spans.spans import Span, by_trace, split_trace
from adx_lab.capture.spans.receiver import PATH, Receiver
from tests.conftest import CHECKOUT, Home

PROTOBUF = "application/x-protobuf"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def shop(told: dict[str, str], folder: Path) -> Iterator[str]:
    port = free_port()
    environ = os.environ | told
    environ |= {"SHOP_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'shop.db'}"}
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "tests.capture.spans.instrumented:app"]
    with subprocess.Popen(command, env=environ, cwd=CHECKOUT) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/count", timeout=5).read()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def ask(url: str, trace: str | None) -> None:
    headers = {} if trace is None else {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).read()


def test_an_n_plus_one_and_a_slow_query_of_an_instrumented_service_are_named(tmp_path: Path) -> None:
    asked: dict[str, str] = {}
    with Receiver() as receiver, shop(receiver.environ(service="shop"), tmp_path) as url:
        for path in ("/books", "/report", "/count") * 4:
            trace = secrets.token_hex(16)
            asked[trace] = f"GET {path}"
            ask(f"{url}{path}", trace)
        ask(f"{url}/count", None)
        # Exporters send what they have twice a second.
        traces = wait_for_traces(receiver, len(asked))
    assert receiver.received.lost == 0
    # What nobody asked for is not told.
    assert set(traces) == set(asked)
    splits = [(asked[trace], split_trace(spans)) for trace, spans in traces.items()]
    for endpoint, split in splits:
        assert split.server_ms > split.db_ms > 0, endpoint
    found = span_findings(splits)
    repeated = next(one for one in found if one.kind == "n+1")
    assert repeated.endpoints == ("GET /books",)
    assert "FROM authors" in repeated.evidence["statement"]
    assert repeated.evidence["per_request"] == 12
    slow = next(one for one in found if one.kind == "query")
    assert slow.endpoints == ("GET /report",)
    assert "WITH RECURSIVE numbers" in slow.evidence["statement"]
    assert "GET /count" not in {endpoint for one in found for endpoint in one.endpoints}


LOCUSTFILE = """
from locust import HttpUser, constant, task
from locust.contrib.fasthttp import FastHttpUser


class Reader(HttpUser):
    wait_time = constant(0.05)

    @task
    def books(self):
        self.client.get("/books")


class Counter(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def count(self):
        self.client.get("/count", headers={"Accept": "application/json"})
"""


def test_a_load_joins_its_requests_with_the_spans_of_a_service_that_is_up(home: Home, tmp_path: Path) -> None:
    locustfile, otlp_port = tmp_path / "locustfile.py", free_port()
    locustfile.write_text(LOCUSTFILE)
    with Receiver() as receiver:
        told = receiver.environ(service="shop")
    told["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{otlp_port}"
    with shop(told, tmp_path) as url:
        (home.path / "adx-lab.toml").write_text(
            f'[service]\nname = "shop"\nurl = "{url}"\ntiming = "otel"\notlp_port = {otlp_port}\n'
        )
        words = ("load", "--locustfile", str(locustfile), "--url", url, "--users", "2", "--duration", "4")
        done = home.adx_lab(*words, "--warmup", "1", "--json")
    # Whether the machine was too busy to measure (4) is another matter.
    assert done.code in {0, 1, 4}, done.err
    (folder,) = (home.data / "runs").iterdir()
    samples = pd.read_parquet(folder / "samples.parquet")
    queries = pd.read_parquet(folder / "queries.parquet")
    assert set(samples["endpoint"]) == {"GET /books", "GET /count"}
    timed = samples[samples["server_ms"].to_numpy() > 0]
    assert len(timed) > 0.9 * len(samples)
    asked = timed.groupby("endpoint")["db_queries"].median().to_dict()
    assert asked == {"GET /books": 13, "GET /count": 1}
    assert (timed["db_ms"].to_numpy() <= timed["server_ms"].to_numpy()).all()
    assert queries["query"].str.contains("FROM authors").sum() >= 12
    found = home.adx_lab("report", folder.name, "--json").json()["findings"]
    repeated = [one for one in found if one["kind"] == "n+1"]
    assert [one["endpoints"] for one in repeated] == [["GET /books"]]
    assert "FROM authors" in repeated[0]["evidence"]["statement"]


def wait_for_traces(receiver: Receiver, count: int) -> dict[str, list[Span]]:
    deadline = time.monotonic() + 30
    while True:
        traces = by_trace(receiver.spans())
        if len(traces) >= count and all(split_trace(one).server_ms > 0 for one in traces.values()):
            return traces
        assert time.monotonic() < deadline, f"{len(traces)} of {count} traces came"
        time.sleep(0.2)


def export(traces: int, spans: int = 10) -> bytes:
    told = ExportTraceServiceRequest()
    scope = told.resource_spans.add().scope_spans.add()
    for _ in range(traces):
        trace = secrets.token_bytes(16)
        for i in range(spans):
            one = scope.spans.add(trace_id=trace, span_id=secrets.token_bytes(8), name=f"span {i}", kind=3)
            one.start_time_unix_nano, one.end_time_unix_nano = 1_000, 2_000
            attribute = one.attributes.add(key="db.statement")
            attribute.value.string_value = "SELECT 1"
    return told.SerializeToString()


def send(receiver: Receiver, body: bytes, path: str = PATH, **headers: str) -> int:
    connection = http.client.HTTPConnection(receiver.url.removeprefix("http://"), timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body, {"Content-Type": PROTOBUF} | named)
    status = connection.getresponse().status
    connection.close()
    return status


def test_every_span_of_many_exports_arrives_packed_or_not() -> None:
    with Receiver() as receiver:
        for i in range(40):
            body = export(50)
            packed = bool(i % 2)
            headers = {"Content_Encoding": "gzip"} if packed else {}
            assert send(receiver, gzip.compress(body) if packed else body, **headers) == 200
        spans: list[Span] = list(receiver.spans())
    assert len(spans) == 40 * 50 * 10
    assert spans[0].attributes == {"db.statement": "SELECT 1"}
    assert receiver.received.lost == 0
    assert receiver.received.cpu_s > 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content_Type": "application/json"}, 415),
        (b"\xff\xff\xff", {}, 200),
        (b"no gzip", {"Content_Encoding": "gzip"}, 200),
    ],
)
def test_what_can_not_be_read_is_counted_as_lost(body: bytes, headers: dict[str, str], status: int) -> None:
    with Receiver() as receiver:
        assert send(receiver, body, **headers) == status
        assert [*receiver.spans(), *receiver.spans()] == []
        assert receiver.received.lost == 1
        assert send(receiver, export(1)) == 200
        assert receiver.received.exports >= 1


def test_what_does_not_fit_is_counted_as_lost() -> None:
    body = export(3)
    with Receiver(kept_bytes=len(body) + 1) as receiver:
        assert [send(receiver, body), send(receiver, body)] == [200, 200]
        assert len(list(receiver.spans())) == 30
        assert receiver.received.full == 1


def test_other_paths_are_none_of_its_business() -> None:
    with Receiver() as receiver:
        assert send(receiver, b"", "/v1/metrics") == 404
        assert receiver.received.lost == 0
