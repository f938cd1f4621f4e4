"""The core's own spans: off unless they are asked for, and what they tell of a request."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import httpx
import pytest

from adx_lab.analysis.spans.spans import by_trace, split_trace
from adx_lab.capture.spans.receiver import Receiver
from adx_lab.core.database.sample import Sample
from tests.core.harness import Core, eventually, log_in_as, metric

StartCore = Callable[..., Core]


def traced(wanted: str = "01") -> tuple[str, dict[str, str]]:
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-{wanted}"}


def test_a_request_is_told_with_its_queries_where_its_trace_is_wanted(
    start_core: StartCore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        core = start_core(spans=1, server_timing=0)
        admin = log_in_as(core.url, sample)
        admin.get("/auth/me")  # whoever asks first is looked up with the page, in one query
        trace, headers = traced()
        answer = admin.get("/users?page_size=3", headers=headers)
        assert answer.status_code == 200
        assert "server-timing" not in answer.headers
        for ignored in ({}, traced("00")[1], {"traceparent": "nonsense"}):
            admin.get("/users?page_size=4", headers=ignored)
        spans = eventually(lambda: by_trace(receiver.spans()))
        core.stop()
        assert set(by_trace(receiver.spans())) == {trace}
    (own,) = spans.values()
    split = split_trace(own)
    assert [name for name, _ in split.queries] == ["users.list.first"]
    assert 0 < split.db_ms < split.server_ms
    (server,) = (one for one in own if one.kind == "server")
    assert (server.name, server.service) == ("GET /api/v1/users", "adx-core")


def test_spans_that_nobody_takes_are_counted(
    start_core: StartCore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    core = start_core(spans=1)
    answer = log_in_as(core.url, sample).get("/auth/me", headers=traced()[1])
    assert answer.status_code == 200
    assert "server-timing" in answer.headers
    eventually(lambda: metric(core.url, "spans_dropped_total") == 1)


def test_without_the_switch_nothing_is_told(core: Core, sample: Sample) -> None:
    assert log_in_as(core.url, sample).get("/auth/me", headers=traced()[1]).status_code == 200
    assert "spans_dropped_total" not in httpx.get(f"{core.url}/metrics").text
