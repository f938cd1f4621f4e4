"""What a duet's verdict says of defects that are known: found, or at least not passed, at every endpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.comparison import still_open
from adx_lab.analysis.duet.gates import BEGAN_LATER, Coverage
from adx_lab.analysis.duet.pair_ratios import pairs_of, stray_series, whole_pairs
from adx_lab.analysis.duet.worse import findings_of
from adx_lab.conduct.calibration.matrix import DEFECTS, endpoints_of, matrix
from adx_lab.conduct.duet.judge import DuetEvidence, comparisons_of, judge_duet
from tests.conduct.known_duet import NAMES, known_duet

SURE = {"only the p95", "a tenth of it 4 times slower"}
"""What hits so few requests of a rare endpoint that a duet of a minute can't always tell it from a stall."""


@pytest.fixture(scope="module")
def equals() -> DuetEvidence:
    return known_duet(np.random.default_rng(1))


def test_equals_pass(equals: DuetEvidence) -> None:
    verdict = judge_duet(equals).verdict
    assert (verdict.status, verdict.exit_code) == ("pass", 0)
    assert verdict.coverage is not None
    assert (verdict.coverage.endpoints, verdict.coverage.judged) == (14, 14)


@pytest.mark.parametrize("each", [pytest.param(1, marks=pytest.mark.acceptance), 5])
@pytest.mark.parametrize("defect", DEFECTS)
def test_no_defect_passes_at_any_endpoint(equals: DuetEvidence, defect: str, each: int) -> None:
    """The whole matrix takes minutes: here three endpoints a defect, other ones for each."""
    assert set(NAMES) == set(endpoints_of(equals))
    asked = sorted(NAMES)[list(DEFECTS).index(defect) % each :: each]
    cells = list(matrix(equals, defects=[defect], endpoints=asked))
    assert [cell.endpoint for cell in cells] == asked
    assert [cell.endpoint for cell in cells if cell.status == "pass"] == []
    if defect not in SURE:
        assert [cell.endpoint for cell in cells if not cell.at] == []
        assert {cell.status for cell in cells} == {"regressed"}


@pytest.mark.parametrize("endpoint", ["GET /users/{id}", "PATCH /users/{id}", "POST /auth/login"])
def test_a_slowdown_that_matters_is_found_where_it_is(endpoint: str) -> None:
    """Three times what matters: of every three duets every one is regressed, and names it."""
    for seed in range(3):
        duet = known_duet(np.random.default_rng(seed), slower={endpoint: 1.25})
        verdict = judge_duet(duet).verdict
        found = {one.subject for one in verdict.comparisons if one.status == "slower"}
        assert (verdict.status, endpoint in found) == ("regressed", True)


def test_twenty_microseconds_are_seen_though_they_do_not_matter() -> None:
    duet = known_duet(np.random.default_rng(5), slower={"GET /users/{id}": 1.067})
    verdict = judge_duet(duet).verdict
    told = next(
        one for one in verdict.comparisons if (one.subject, one.metric) == ("GET /users/{id}", "serial_ms")
    )
    assert (told.status, verdict.status) == ("same", "pass")
    assert told.low is not None
    assert told.low > 1.04
    assert told.could_see is not None
    assert told.could_see < 0.067


def test_blocks_that_ask_for_a_few_endpoints_decide_these_and_change_nothing_else() -> None:
    """Six more blocks of two endpoints: all together is told by the ten that asked for everything."""
    whole = known_duet(np.random.default_rng(3), blocks=16, slower={"PATCH /users/{id}": 1.25})
    left = ["PATCH /users/{id}", "POST /files"]
    assert whole.counts is not None

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        few = table["block"].le(10) | table["endpoint"].isin(left)
        return table[few.to_numpy()].reset_index(drop=True)

    design = replace(whole.design, looks=(10, 16))
    duet = replace(whole, samples=kept(whole.samples), counts=kept(whole.counts), design=design)
    told = {one.subject: one for one in comparisons_of(duet) if one.metric == "serial_ms"}
    assert {told[name].n_blocks for name in left} == {16}
    assert {one.n_blocks for name, one in told.items() if name not in left} == {10}
    assert told["PATCH /users/{id}"].status == "slower"
    assert told["POST /files"].closed
    # Of the others nothing is known less than after the first ten.
    first = whole.samples[(whole.samples["block"] <= 10).to_numpy()]
    after_ten, after_all = stray_errors(first, 10), stray_errors(duet.samples, 16)
    assert after_all["GET /files"] == pytest.approx(after_ten["GET /files"])
    assert after_all["POST /files"] < after_ten["POST /files"]


def stray_errors(samples: pd.DataFrame, blocks: int) -> dict[str, float]:
    """Return how well each endpoint's share of strays is known, in the serial movement."""
    serial = samples[(samples["movement"] == "serial").to_numpy()].reset_index(drop=True)
    pairs = pairs_of(whole_pairs(serial), blocks=range(1, blocks + 1))
    return {
        one.subject: one.noise / float(np.sqrt(np.isfinite(one.log_ratio).sum()))
        for one in stray_series(pairs, metric="serial_strays")
    }


def test_only_what_is_open_is_asked_again(equals: DuetEvidence) -> None:
    comparisons = [replace(one, status="same", closed=True) for one in comparisons_of(equals)]
    assert still_open(comparisons) is None
    places = {(one.subject, one.metric): i for i, one in enumerate(comparisons) if one.gate}

    def waiting(*names: tuple[str, str]) -> frozenset[str] | None:
        some = list(comparisons)
        for name in names:
            some[places[name]] = replace(some[places[name]], status="undecided", closed=False)
        return still_open(some)

    both = (("GET /files", "serial_ms"), ("POST /files", "serial_strays"))
    assert waiting(*both) == frozenset({"GET /files", "POST /files"})
    assert waiting(*both, ("all", "serial_ms")) is None
    assert waiting(("GET /users", "burst_ms")) == frozenset({"GET /users"})


def test_one_stalled_block_is_borne(equals: DuetEvidence) -> None:
    samples = equals.samples.copy()
    stalled = ((samples["block"] == 3) & (samples["variant"] == "head")).to_numpy()
    samples["service_ms"] = np.where(stalled, 3 * samples["service_ms"], samples["service_ms"])
    verdict = judge_duet(replace(equals, samples=samples)).verdict
    assert not [one for one in verdict.comparisons if one.status == "slower"]


def test_the_crowd_as_a_whole_is_not_asked_more_than_a_machine_can_tell(equals: DuetEvidence) -> None:
    """Bursts of equals differ by a tenth between blocks: a twentieth of all of them was never ruled out."""
    samples = equals.samples.copy()
    rng = np.random.default_rng(5)
    burst = ((samples["movement"] == "burst") & (samples["variant"] == "head")).to_numpy()
    moods = {block: float(np.exp(0.1 * rng.normal())) for block in samples["block"].unique()}
    samples.loc[burst, "service_ms"] *= samples.loc[burst, "block"].map(moods).astype(float)
    (crowd,) = (
        one
        for one in comparisons_of(replace(equals, samples=samples))
        if (one.subject, one.metric) == ("all", "burst_ms")
    )
    assert crowd.closed


def test_failures_of_a_few_are_told_from_chance(equals: DuetEvidence) -> None:
    """Six failures of a rare endpoint may be chance, and as many on either side are none of head's."""
    assert failing(equals, "POST /auth/login", head=6, base=0) == ("undecided", [])
    assert failing(equals, "GET /users", head=40, base=40)[1] == []
    assert failing(equals, "GET /users", head=40, base=0) == ("regressed", ["GET /users"])


def failing(duet: DuetEvidence, endpoint: str, *, head: int, base: int) -> tuple[str, list[str]]:
    samples = duet.samples.copy()
    error = samples["error"].astype(object).to_numpy().copy()
    for side, count, turn in (("head", head, 0), ("base", base, 3)):
        own = (samples["variant"] == side) & (samples["endpoint"] == endpoint)
        error[np.flatnonzero(own & (samples["movement"] == "serial"))[turn::7][:count]] = "HTTP 500"
    verdict = judge_duet(replace(duet, samples=samples.assign(error=error))).verdict
    return verdict.status, [one.subject for one in verdict.comparisons if one.status == "slower"]


def test_an_answer_that_begins_later_and_ends_as_soon_is_no_slower(equals: DuetEvidence) -> None:
    """A stream that is gathered first, and sent whole: the server's own time tells its beginning only."""
    samples = equals.samples.copy()
    own = ((samples["variant"] == "head") & (samples["endpoint"] == "GET /files/{id}/content")).to_numpy()
    samples["server_ms"] = np.where(own, 0.6, 0.3) * samples["service_ms"]
    verdict = judge_duet(replace(equals, samples=samples)).verdict
    assert [one.subject for one in verdict.comparisons if one.status == "slower"] == []
    (told,) = (one for one in verdict.comparisons if one.caveats == (BEGAN_LATER,))
    assert (told.subject, told.metric) == ("GET /files/{id}/content", "serial_server_ms")
    slower = np.where(own, 2.0, 1.0)
    late = samples.assign(service_ms=slower * samples["service_ms"], server_ms=slower * samples["server_ms"])
    assert judge_duet(replace(equals, samples=late)).verdict.status == "regressed"


def test_nothing_ends_a_verdict_unsaid(equals: DuetEvidence) -> None:
    """Each metric that can be slower by itself has a finding that names its subject."""
    for one in comparisons_of(equals):
        worse = (replace(one, status="slower"),)
        found = findings_of(worse, Coverage(endpoints=1, judged=1), ())
        assert one.subject in {name for told in found for name in (told.subject, *told.endpoints)}, one.metric


def test_another_status_is_another_answer(equals: DuetEvidence) -> None:
    samples = equals.samples.copy()
    own = ((samples["variant"] == "head") & (samples["endpoint"] == "POST /files")).to_numpy()
    verdict = judge_duet(replace(equals, samples=samples.assign(status=np.where(own, 204, 200)))).verdict
    assert verdict.status == "regressed"
    assert [finding.subject for finding in verdict.findings] == ["POST /files"]


def test_what_nobody_asked_for_is_named_first(equals: DuetEvidence) -> None:
    first = equals.companions[0]
    routes = [f"{name.split(' ')[0]} /api/v1{name.split(' ')[1]}" for name in NAMES]
    known = {
        "base": {**first["base"], "routes": [*routes, "GET /api/v1/events"], "named": ["users.get"]},
        "head": {**first["head"], "routes": [*routes, "GET /api/v1/events", "GET /api/v1/new"],
                 "named": ["users.get"]},
    }  # fmt: skip
    verdict = judge_duet(replace(equals, companions=(known, *equals.companions[1:]))).verdict
    assert verdict.coverage is not None
    assert verdict.coverage.unjudged == ("GET /events: no request",)
    assert verdict.coverage.added == ("GET /new",)
    assert verdict.coverage.unasked == ("users.get",)
    assert (verdict.status, verdict.findings[0].kind) == ("undecided", "unjudged")


def test_a_duet_without_a_serial_movement_is_judged_by_its_pairs(equals: DuetEvidence) -> None:
    """As one that was stored before there was any: its rare endpoints are gates too."""
    samples = equals.samples[(equals.samples["movement"] == "open").to_numpy()].drop(columns="movement")
    old = replace(equals, samples=samples.reset_index(drop=True), counts=None)
    rare = (samples["variant"] == "head") & (samples["endpoint"] == "GET /files")
    slow = samples.assign(service_ms=np.where(rare, 10 * samples["service_ms"], samples["service_ms"]))
    verdict = judge_duet(replace(old, samples=slow.reset_index(drop=True))).verdict
    found = {one.subject for one in verdict.comparisons if one.status == "slower"}
    assert verdict.status == "regressed"
    assert "GET /files" in found
    assert judge_duet(old).verdict.status in {"undecided", "pass"}


def test_where_spans_tell_the_times_of_a_load_requests_without_them_explain_nothing(
    equals: DuetEvidence,
) -> None:
    """Of a service that tells its times by spans the serial movement's requests carry none."""
    samples = equals.samples
    serial, later = (samples["movement"] == "serial").to_numpy(), 5.0 * (samples["variant"] == "head")
    slow = samples.assign(
        service_ms=samples["service_ms"] + later,
        server_ms=np.where(serial, np.nan, samples["server_ms"] + later),
        db_ms=np.where(serial, np.nan, samples["db_ms"] + later),
    )
    changes = judge_duet(replace(equals, samples=slow)).changes
    split = {part.name: part.change_ms for part in changes[0].parts}
    assert split["database"] == pytest.approx(5.0, rel=0.2)
    assert abs(split["service"]) < 1.0


def test_the_order_of_rows_does_not_matter(equals: DuetEvidence) -> None:
    mixed = equals.samples.sample(frac=1, random_state=1).reset_index(drop=True)
    assert judge_duet(replace(equals, samples=mixed)).verdict == judge_duet(equals).verdict
    assert isinstance(mixed, pd.DataFrame)
