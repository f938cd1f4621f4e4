"""The parts of a request's time add up, and the tail's excess goes to the part that caused it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.run.tail import slowest, tail_attribution
from adx_lab.analysis.run.time_split import part_means


def a_run(n: int = 4_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(6)
    page, count, pool, l2 = (rng.exponential(scale, n) for scale in (1.0, 0.5, 0.05, 0.1))
    own, network = rng.exponential(1.0, n), rng.exponential(0.2, n)
    queueing = rng.exponential(0.1, n)
    slow = rng.random(n) < 0.05
    page[slow] += 50
    server = page + count + pool + l2 + own
    samples = pd.DataFrame(
        {
            "latency_ms": server + network + queueing,
            "service_ms": server + network,
            "server_ms": server,
            "db_ms": page + count,
            "valkey_ms": l2,
            "pool_ms": pool,
            "endpoint": np.where(np.arange(n) % 2, "GET /users", "GET /me"),
            "status": 200,
        }
    )
    queries = pd.DataFrame(
        {
            "sample": np.tile(np.arange(n), 2),
            "query": np.repeat(["users.page", "users.count"], n),
            "ms": np.concatenate([page, count]),
        }
    )
    return samples, queries


def test_parts_add_up_to_the_latency() -> None:
    samples, queries = a_run()
    group = (np.arange(4_000) % 3) - 1  # one third left out
    means = part_means(samples, queries, group, 2)
    for i in range(2):
        want = samples.latency_ms[group == i].mean()
        assert means.mean_ms[:, i].sum() == pytest.approx(want, rel=1e-12)
    parts = dict(zip(means.names, means.mean_ms[:, 0], strict=True))
    assert parts["service"] == pytest.approx(1.0, rel=0.1)
    assert parts["queueing"] == pytest.approx(0.1, rel=0.1)
    assert parts["pool"] == pytest.approx(0.05, rel=0.1)
    assert parts["valkey"] == pytest.approx(0.1, rel=0.1)
    assert parts["database"] == pytest.approx(0, abs=1e-9)
    assert means.per_request[means.names.index("users.page")] == pytest.approx(1.0)


def test_without_server_timing_all_is_service() -> None:
    samples, _ = a_run()
    bare = samples.assign(server_ms=np.nan, db_ms=np.nan, valkey_ms=np.nan, pool_ms=np.nan)
    (row,) = tail_attribution(bare, by=None)
    assert [part.name for part in row.parts] == ["service", "queueing"]


def test_the_tail_is_put_down_to_the_query_that_causes_it() -> None:
    samples, queries = a_run()
    rows = tail_attribution(samples, queries)
    assert [row.subject for row in rows] == ["GET /me", "GET /users"]
    for row in rows:
        assert row.count == pytest.approx(100, abs=2)
        assert (row.parts[0].name, row.parts[0].kind) == ("users.page", "query")
        assert row.parts[0].share > 0.95
        assert sum(part.share for part in row.parts) == pytest.approx(1.0)


def test_failed_requests_are_no_tail() -> None:
    samples, queries = a_run()
    samples.loc[samples.latency_ms > 50, "status"] = 504
    (row,) = tail_attribution(samples, queries, by=None)
    assert row.tail_ms < 20
    assert tail_attribution(samples.assign(status=500), queries) == ()


def test_slowest_is_relative_to_the_group() -> None:
    values = np.concatenate([np.arange(100.0), 1_000 + np.arange(100.0)])
    group = np.repeat([0, 1], 100)
    slow, thresholds = slowest(values, group, 3)
    assert slow[:100].sum() == slow[100:].sum() == 5
    assert np.isnan(thresholds[2])
    assert not slowest(values, np.full(200, -1), 1)[0].any()
