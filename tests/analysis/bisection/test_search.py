"""The search names the right commit, in few duets, and says so when it can't."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adx_lab.analysis.bisection.contrast import contrast_of
from adx_lab.analysis.bisection.history import Commit, CommitHistory
from adx_lab.analysis.bisection.search import Search, middle
from adx_lab.analysis.duet.block_ratios import BlockSeries
from adx_lab.analysis.duet.comparison import compare
from adx_lab.analysis.stats.sequential_design import SequentialDesign

LINE = CommitHistory(tuple(Commit(f"c{i}", (f"c{i - 1}",) if i else ()) for i in range(32)))

Block = Callable[[str], float]


def noisy(
    guilty: int, rng: np.random.Generator, *, effect: float = 0.1, history: CommitHistory = LINE
) -> Block:
    """Blocks as machines give them: noise, small effects of each commit's own, and a stall now and then."""
    own = rng.normal(0, 0.005, len(history.commits))
    own[-1] = 0

    def block(sha: str) -> float:
        place = history.place[sha]
        stall = 0.3 * rng.normal() if rng.random() < 0.05 else 0.0
        return float(effect * history.holds[place, guilty] + own[place] + 0.03 * rng.normal() + stall)

    return block


def search_to_the_end(
    block: Block, history: CommitHistory = LINE, broken: frozenset[str] = frozenset()
) -> Search:
    search = Search(history, np.array([block(history.bad) for _ in range(12)]))
    while (sha := search.next_commit()) is not None:
        if sha in broken:
            search.skip(sha)
            continue
        search.begin(sha)
        while not search.settled(sha):
            search.add(sha, [block(sha)])
    return search


def test_the_right_commit_in_at_least_95_percent_within_eight_duets() -> None:
    rng = np.random.default_rng(20)
    right, duets = 0, []
    for _ in range(60):
        guilty = int(rng.integers(32))
        search = search_to_the_end(noisy(guilty, rng))
        right += search.guilty is not None and search.guilty.sha == f"c{guilty}"
        duets.append(search.duets)
    assert right >= 57
    assert max(duets) <= 8


def test_noise_asks_a_commit_again_and_never_hurries_an_answer() -> None:
    rng = np.random.default_rng(21)
    wrong = asked_again = 0
    for _ in range(20):
        guilty = int(rng.integers(32))
        search = search_to_the_end(noisy(guilty, rng, effect=0.045))
        wrong += search.guilty is not None and search.guilty.sha != f"c{guilty}"
        asked_again += search.duets > 8
        assert f"c{guilty}" in {one.sha for one in search.suspects()} or search.guilty is not None
    assert wrong <= 2
    assert asked_again > 0


def test_a_commit_on_a_merged_branch_is_found_and_so_is_a_guilty_merge() -> None:
    history = CommitHistory(
        (
            Commit("a"),
            Commit("b1", ("a",)),
            Commit("b2", ("b1",)),
            Commit("c1", ("a",)),
            Commit("c2", ("c1",)),
            Commit("merge", ("b2", "c2")),
            Commit("last", ("merge",)),
        )
    )
    rng = np.random.default_rng(22)
    for guilty in ("c1", "b2", "merge", "a", "last"):
        block = noisy(history.place[guilty], rng, effect=0.2, history=history)
        found = search_to_the_end(block, history).guilty
        assert found is not None
        assert found.sha == guilty


def test_commits_that_do_not_start_leave_a_few_suspects() -> None:
    rng = np.random.default_rng(23)
    search = search_to_the_end(noisy(16, rng, effect=0.2), broken=frozenset({"c15", "c16", "c17"}))
    assert search.guilty is None
    assert {one.sha for one in search.suspects()} <= {"c15", "c16", "c17", "c18"}
    assert {"c15", "c16", "c17", "c18"} >= {one.sha for one in search.suspects()} >= {"c16"}
    assert search.duets <= 8


def test_what_the_log_suspects_is_asked_first_and_does_not_convict() -> None:
    commits = tuple(
        Commit(one.sha, one.parents, weight=8.0 if one.sha == "c20" else 1.0) for one in LINE.commits
    )
    rng = np.random.default_rng(24)
    suspected = CommitHistory(commits)
    right = search_to_the_end(noisy(20, rng, effect=0.2, history=suspected), suspected)
    assert right.guilty is not None
    assert (right.guilty.sha, right.duets <= 6) == ("c20", True)
    wrong = search_to_the_end(noisy(5, rng, effect=0.2, history=suspected), suspected)
    assert wrong.guilty is not None
    assert wrong.guilty.sha == "c5"


def test_commits_that_leave_the_service_alone_are_never_named() -> None:
    commits = tuple(
        Commit(one.sha, one.parents, weight=float(i % 4 == 0)) for i, one in enumerate(LINE.commits)
    )
    history = CommitHistory(commits)
    search = search_to_the_end(noisy(8, np.random.default_rng(25), effect=0.2, history=history), history)
    assert search.guilty is not None
    assert search.guilty.sha == "c8"
    assert search.duets <= 5


def test_nothing_to_look_for_is_refused() -> None:
    with pytest.raises(ValueError, match="not slower"):
        Search(LINE, np.full(12, -0.01))


def test_a_stalled_block_hardly_moves_the_middle() -> None:
    assert abs(middle(np.array([0.1, 0.11, 0.09, 0.1, 0.1, 2.0])) - 0.1) < 0.01


def test_the_contrast_weighs_what_shows_the_slowdown() -> None:
    rng = np.random.default_rng(26)
    slow = BlockSeries("GET /a", "pair_ms", tuple((0.2 + 0.01 * rng.normal(size=12)).tolist()))
    wide = BlockSeries("GET /a", "p95_ms", tuple((0.2 + 0.05 * rng.normal(size=12)).tolist()))
    same = BlockSeries("GET /b", "pair_ms", tuple((0.01 * rng.normal(size=12)).tolist()))
    series = (slow, wide, same)
    contrast = contrast_of(series, compare(series, SequentialDesign(looks=(12,))))
    assert contrast is not None
    assert set(contrast.weights) == {("GET /a", "pair_ms")}
    assert abs(contrast({("GET /a", "pair_ms"): 0.2, ("GET /b", "pair_ms"): 9.0}) - 1) < 0.05
    assert np.isnan(contrast({("GET /b", "pair_ms"): 0.2}))
    assert contrast_of([same], compare([same], SequentialDesign(looks=(12,)))) is None
