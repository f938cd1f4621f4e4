"""Every cause that the calibration injects is named first, from the trace that it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.causes.attribution import Attribution, attribute
from adx_lab.analysis.duet.causes.time_changes import split_changes
from adx_lab.analysis.duet.causes.variant_traits import EndpointFacts, QueryFacts, VariantFacts
from adx_lab.records.documents import to_json

N = 3_000

QUERIES = {
    "users.page": QueryFacts(
        "s1", ("Index Scan using users_page",), frozenset({"users_page"}), 1.2, 55, 50, 0.5, 0.1
    ),
    "users.get": QueryFacts(
        "s2", ("Index Scan using users_pkey",), frozenset({"users_pkey"}), 1.0, 4, 1, 0.1, 0.05
    ),
    "files.list": QueryFacts(
        "s3", ("Index Scan using files_user",), frozenset({"files_user"}), 1.5, 20, 20, 0.3, 0.08
    ),
    "permissions.of": QueryFacts(
        "s4", ("Index Scan using roles_user",), frozenset({"roles_user"}), 1.0, 6, 3, 0.2, 0.06
    ),
}
FACTS = VariantFacts(
    queries=QUERIES,
    indexes=frozenset({"users_page", "users_pkey", "files_user", "roles_user"}),
    plans_per_call=0.02,
    cpu_ms=0.4,
    loop_lag_ms=0.8,
    loop_lag_p90_ms=0.4,
    pool_size=20,
    invalidations=0.01,
    valkey_commands=0.3,
    settings={"cache.l1": "on"},
    commit="aaa",
)


@dataclass
class World:
    """How one variant serves: milliseconds unless said otherwise."""

    calls: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "GET /users": {"users.page": 1},
            "GET /users/{id}": {"users.get": 1},
            "GET /files": {"files.list": 1},
            "GET /me": {},
        }
    )
    query_ms: dict[str, float] = field(
        default_factory=lambda: {
            "users.page": 0.6,
            "users.get": 0.2,
            "files.list": 0.4,
            "permissions.of": 0.3,
        }
    )
    service: dict[str, float] = field(default_factory=dict)
    l1: float = 0.9
    l2: float = 0.08
    pool: float = 0.0
    queueing: float = 0.02
    valkey: float = 0.15
    network: dict[str, float] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    facts: VariantFacts = FACTS


def serve(world: World, variant: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    endpoint = np.array(list(world.calls))[rng.integers(0, len(world.calls), N)]
    layer = rng.choice(["l1", "l2", "miss"], N, p=[world.l1, world.l2, max(0.0, 1 - world.l1 - world.l2)])
    db, executed = np.zeros(N), []
    for name in world.query_ms:
        calls = np.array([world.calls[e].get(name, 0) for e in endpoint])
        if name == "permissions.of":
            calls = calls + (layer == "miss")
        at = np.repeat(np.arange(N), calls.astype(int))
        ms = world.query_ms[name] * rng.lognormal(0, 0.2, at.size)
        db += np.bincount(at, weights=ms, minlength=N)
        executed.append(pd.DataFrame({"sample": at, "query": name, "ms": ms}))
    valkey = np.where(layer == "l1", 0.0, world.valkey) * rng.lognormal(0, 0.2, N)
    pool = world.pool * rng.exponential(1.0, N) * (db > 0)
    own = np.array([world.service.get(e, 0.5) for e in endpoint]) * rng.lognormal(0, 0.2, N)
    network = np.array([world.network.get(e, 0.1) for e in endpoint]) * rng.lognormal(0, 0.2, N)
    server = db + valkey + pool + own
    samples = pd.DataFrame(
        {
            "endpoint": endpoint,
            "variant": variant,
            "service_ms": server + network,
            "latency_ms": server + network + world.queueing * rng.exponential(1.0, N),
            "server_ms": server,
            "db_ms": db,
            "valkey_ms": valkey,
            "pool_ms": pool,
            "cache": layer,
            "bytes": [world.size.get(e, 1_000) for e in endpoint],
            "status": 200,
        }
    )
    return samples, pd.concat(executed, ignore_index=True)


def duet(head: World, slower: tuple[str, ...] = ("all",), *, base: VariantFacts = FACTS) -> Attribution:
    samples, queries = zip(serve(World(), "base", 1), serve(head, "head", 2), strict=True)
    queries[1]["sample"] += N
    return attribute(
        pd.concat(samples, ignore_index=True),
        pd.concat(queries, ignore_index=True),
        base=base,
        head=head.facts,
        slower=slower,
    )


def with_query(name: str, **changed: object) -> VariantFacts:
    return replace(FACTS, queries={**QUERIES, name: replace(QUERIES[name], **changed)})  # type: ignore[arg-type]


def an_index_dropped() -> World:
    gone = {
        "users.page": replace(
            QUERIES["users.page"],
            shape="x1",
            scans=("Seq Scan on users",),
            indexes=frozenset(),
            buffers=900,
            exec_ms=6,
        ),
        "files.list": replace(
            QUERIES["files.list"],
            shape="x3",
            scans=("Seq Scan on files",),
            indexes=frozenset(),
            buffers=700,
            exec_ms=4,
        ),
    }
    world = World(
        facts=replace(FACTS, queries={**QUERIES, **gone}, indexes=frozenset({"users_pkey", "roles_user"}))
    )
    world.query_ms |= {"users.page": 7.0, "files.list": 5.0}
    world.pool = 0.3  # the same connections are busy for longer
    return world


def l1_off() -> World:
    facts = replace(FACTS, settings={"cache.l1": "off"}, valkey_commands=1.2)
    return World(l1=0.0, l2=0.98, facts=facts)


def l2_off() -> World:
    return World(l1=0.9, l2=0.0)


def n_plus_one() -> World:
    world = World()
    world.calls["GET /users"] = {"users.page": 1, "users.get": 50}
    world.pool = 0.1
    return world


def a_blocking_call() -> World:
    world = World(facts=replace(FACTS, loop_lag_ms=9.0))
    world.service = {"GET /users": 5.0, "GET /users/{id}": 1.5, "GET /files": 1.5, "GET /me": 1.5}
    world.queueing = 1.0
    world.query_ms = {name: ms + 0.8 for name, ms in world.query_ms.items()}  # answers wait for the loop
    world.pool = 0.5
    return world


def a_short_blocking_call() -> World:
    """Too short and too frequent to show at p99, where the machine's own noise is."""
    facts = replace(FACTS, loop_lag_ms=4.0, loop_lag_p90_ms=2.4)
    world = World(facts=facts)
    world.service = {"GET /users": 4.5, "GET /users/{id}": 0.8, "GET /files": 0.8, "GET /me": 0.8}
    return world


def a_computation_that_holds_the_loop() -> World:
    world = a_short_blocking_call()
    world.facts = replace(world.facts, cpu_ms=1.6)
    return world


def the_pool_shrunk() -> World:
    return World(pool=4.0, queueing=1.0, facts=replace(FACTS, pool_size=2))


def unprepared() -> World:
    slower = {name: replace(q, plan_ms=(q.plan_ms or 0) * 4) for name, q in QUERIES.items()}
    world = World(facts=replace(FACTS, queries=slower, plans_per_call=1.0))
    world.query_ms = {name: ms + 0.4 for name, ms in world.query_ms.items()}
    return world


def a_bigger_payload() -> World:
    world = World(size={"GET /users": 60_000}, network={"GET /users": 0.6}, service={"GET /users": 1.5})
    world.query_ms["users.page"] = 0.9
    return world


def a_missing_limit() -> World:
    facts = with_query("users.page", rows=5_000, buffers=4_000, exec_ms=9.0, shape="nolimit")
    world = World(
        size={"GET /users": 90_000}, network={"GET /users": 0.9}, service={"GET /users": 2.0}, facts=facts
    )
    world.query_ms["users.page"] = 12.0
    return world


def stale_statistics() -> World:
    facts = with_query("files.list", shape="nested", estimate_factor=4_000.0, buffers=9_000, exec_ms=8.0)
    world = World(facts=replace(facts, stale_tables=("files",)))
    world.query_ms["files.list"] = 9.0
    return world


def invalidation_storms() -> World:
    return World(l1=0.4, l2=0.2, facts=replace(FACTS, invalidations=5.0))


def a_slow_dependency() -> World:
    return World(service={"GET /files": 4.0})


def slow_valkey() -> World:
    return World(l1=0.9, valkey=6.0)


def a_slow_database() -> World:
    world = World()
    world.query_ms = {name: 3 * ms for name, ms in world.query_ms.items()}
    return world


def one_slow_query() -> World:
    world = World(facts=with_query("users.page", exec_ms=3.0))
    world.query_ms["users.page"] = 3.0
    return world


def more_cpu() -> World:
    return World(service=dict.fromkeys(World().calls, 1.0), facts=replace(FACTS, cpu_ms=0.9))


@pytest.mark.parametrize(
    ("injected", "kind", "subject"),
    [
        (an_index_dropped, "index", "files_user, users_page"),
        (l1_off, "cache.l1", "L1"),
        (l2_off, "cache.l2", "L2"),
        (n_plus_one, "n+1", "users.get"),
        (a_blocking_call, "blocking", "GET /users"),
        (a_short_blocking_call, "blocking", "GET /users"),
        (a_computation_that_holds_the_loop, "cpu", "GET /users"),
        (the_pool_shrunk, "pool", "pool"),
        (unprepared, "prepared", "statements"),
        (a_bigger_payload, "payload", "GET /users"),
        (a_missing_limit, "limit", "users.page"),
        (stale_statistics, "statistics", "files"),
        (invalidation_storms, "invalidation", "caches"),
        (a_slow_dependency, "dependency", "GET /files"),
        (slow_valkey, "dependency", "Valkey"),
        (a_slow_database, "dependency", "PostgreSQL"),
        (one_slow_query, "query", "users.page"),
        (more_cpu, "cpu", ""),  # spread over all endpoints alike
    ],
)
def test_the_right_cause_comes_first_and_carries_the_time(
    injected: Callable[[], World], kind: str, subject: str
) -> None:
    found = duet(injected()).findings
    assert found[0].kind == kind
    assert subject in {found[0].subject, ""}
    assert found[0].share is not None
    assert found[0].share > 0.7
    assert sum(one.share or 0.0 for one in found) <= 1.05
    assert all((one.share or 0.0) < 0.25 for one in found[1:])
    json.loads(to_json(found))


def test_equal_variants_have_no_findings() -> None:
    assert duet(World(), slower=()).findings == ()


def test_facts_that_cannot_vary_are_told_even_where_time_shows_nothing() -> None:
    world = World()
    world.calls["GET /users"] = {"users.page": 2}
    world.service = {"GET /users": 0.0001}  # hidden by something that got faster
    (finding,) = duet(world, slower=()).findings
    assert (finding.kind, finding.subject) == ("n+1", "users.page")
    assert finding.share is None, "there was nothing of which it could be a share"


def test_stalls_of_the_machine_do_not_hide_a_cause() -> None:
    slow = World(
        service=dict.fromkeys(World().calls, 0.6), facts=replace(FACTS, cpu_ms=(FACTS.cpu_ms or 0) + 0.1)
    )
    halves = [serve(World(), "base", 1), serve(slow, "head", 1)]  # one seed: halves of the same pairs
    for samples, _ in halves:
        samples["block"], samples["pair"] = 0, np.arange(N)
    stalled = np.random.default_rng(3).choice(N, N * 3 // 100, replace=False)
    halves[0][0].loc[stalled, "service_ms"] += 60.0
    halves[1][1]["sample"] += N
    samples = pd.concat([half[0] for half in halves], ignore_index=True)
    queries = pd.concat([half[1] for half in halves], ignore_index=True)

    def named(samples: pd.DataFrame) -> list[str]:
        found = attribute(samples, queries, base=FACTS, head=slow.facts, slower=["all"]).findings
        return [finding.kind for finding in found]

    assert named(samples) == ["cpu"]
    assert named(samples.drop(columns="pair")) == [], "by the plain means base is the slower one"


def test_counted_invalidations_name_a_small_loss_of_hits() -> None:
    storm = World(l1=0.87, service=dict.fromkeys(World().calls, 0.6), facts=replace(FACTS, invalidations=1.0))
    assert duet(storm).findings[0].kind == "invalidation"
    calm = replace(storm, facts=FACTS)
    assert "invalidation" not in {finding.kind for finding in duet(calm).findings}


def test_two_causes_are_two_findings_ranked_by_their_share() -> None:
    world = an_index_dropped()
    world.calls["GET /users/{id}"] = {"users.get": 6}
    first, second = duet(world).findings[:2]
    assert (first.kind, second.kind) == ("index", "n+1")
    assert first.share is not None
    assert second.share is not None
    assert first.share > second.share > 0.05


def test_endpoints_with_the_same_cause_are_one_finding() -> None:
    (finding,) = [one for one in duet(an_index_dropped()).findings if one.kind == "index"]
    assert finding.endpoints[:2] == ("GET /users", "GET /files")
    assert finding.evidence["queries"]["users.page"]["scans"][1] == ["Seq Scan on users"]


def test_what_changed_stands_in_the_evidence() -> None:
    world = l1_off()
    world.facts = replace(world.facts, commit="bbb")
    finding = duet(world).findings[0]
    assert finding.evidence["settings_changed"] == {"cache.l1": "on -> off"}
    assert finding.evidence["commits"] == "aaa..bbb"


def test_the_cpu_of_one_endpoint_is_weighed_by_its_share_of_the_requests() -> None:
    """A variant's CPU is known over all of its requests, of which the slower endpoint's are a quarter."""
    world = World(service={"GET /me": 1.5}, facts=replace(FACTS, cpu_ms=0.65))
    finding = duet(world, slower=("GET /me",)).findings[0]
    assert (finding.kind, finding.subject) == ("cpu", "GET /me")


def test_each_endpoint_is_told_by_what_was_counted_around_it_alone() -> None:
    """One sleeps and one computes: the CPU of all requests would call both the same."""

    def facts(me: float, users: float, database: float = 0.2) -> VariantFacts:
        endpoints = {
            "GET /me": EndpointFacts(cpu_ms=me, database_ms=0.2),
            "GET /users": EndpointFacts(cpu_ms=users, database_ms=database),
        }
        return replace(FACTS, endpoints=endpoints)

    slower = ("GET /me", "GET /users")
    world = World(service={"GET /me": 1.5, "GET /users": 1.5}, facts=facts(0.4, 1.4))
    found = {one.subject: one.kind for one in duet(world, slower=slower, base=facts(0.4, 0.4)).findings}
    assert found == {"GET /users": "cpu", "GET /me": "dependency"}
    world.facts = facts(0.4, 0.4, database=1.2)
    found = {one.subject: one.kind for one in duet(world, slower=slower, base=facts(0.4, 0.4)).findings}
    assert found["GET /me"] == "dependency"
    assert "cpu" not in found.values()


def test_only_the_slower_endpoints_are_explained() -> None:
    world = an_index_dropped()
    (finding, *_) = duet(world, slower=("GET /files",)).findings
    assert finding.endpoints == ("GET /files",)


def test_without_any_facts_the_times_still_name_the_query() -> None:
    samples, queries = zip(serve(World(), "base", 1), serve(one_slow_query(), "head", 2), strict=True)
    queries[1]["sample"] += N
    both = pd.concat(samples, ignore_index=True), pd.concat(queries, ignore_index=True)
    finding = attribute(*both, slower=("GET /users",)).findings[0]
    assert (finding.kind, finding.subject) == ("query", "users.page")


def test_parts_add_up_and_a_cache_is_kept_apart_from_its_queries() -> None:
    samples, queries = zip(serve(World(), "base", 1), serve(l2_off(), "head", 2), strict=True)
    queries[1]["sample"] += N
    both = pd.concat(samples, ignore_index=True), pd.concat(queries, ignore_index=True)
    for change in split_changes(*both):
        assert sum(part.change_ms for part in change.parts) == pytest.approx(change.change_ms)
        within = sum(part.within_ms for part in change.parts)
        assert within + change.cache_ms == pytest.approx(change.change_ms)
        permissions = next(query for query in change.queries if query.query == "permissions.of")
        assert permissions.head_calls == pytest.approx(permissions.base_calls, abs=0.02)


def test_a_payload_known_from_the_captures() -> None:
    facts = replace(FACTS, endpoints={"GET /me": EndpointFacts(response_bytes=400.0)})
    grown = replace(FACTS, endpoints={"GET /me": EndpointFacts(response_bytes=4_000.0)})
    world = World(service={"GET /me": 1.2}, facts=grown)
    samples, queries = zip(serve(World(), "base", 1), serve(world, "head", 2), strict=True)
    queries[1]["sample"] += N
    both = pd.concat(samples, ignore_index=True), pd.concat(queries, ignore_index=True)
    assert attribute(*both, base=facts, head=grown, slower=("GET /me",)).findings[0].kind == "payload"
