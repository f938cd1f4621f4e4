"""A bisection over real git histories: of a real service, and of answers whose truth is known."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adx_lab.analysis.bisection.answer import Culprit
from adx_lab.analysis.bisection.contrast import Key
from adx_lab.analysis.finding import Finding
from adx_lab.conduct.bisection.find import Bisection
from adx_lab.errors import MeasurementError, StackError, UsageError
from adx_lab.progress import Silent
from adx_lab.report.bisection.page import write_bisection
from adx_lab.services.history.commits import read_range
from tests.conduct.bisection.tiny_service import Repository, TinyOpponent

PATHS = ("service.py",)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


async def test_a_slow_commit_of_a_real_service_is_found_behind_a_merge_and_a_broken_one(
    repository: Repository, tmp_path: Path
) -> None:
    good = repository.write("Begin")
    repository.write("Answer in other words", unrelated=1)
    (repository.path / "README").write_text("A tiny service.\n")
    repository.commit("Say what it is")
    repository.git("checkout", "--quiet", "-b", "branch")
    repository.write("Break it", broken="raise SystemExit(1)\n")
    repository.write("Mend it", broken="")
    guilty = repository.write("Sum up more", work=60_000)
    repository.git("checkout", "--quiet", "main")
    (repository.path / "other.py").write_text("pass\n")
    repository.commit("Add another file")
    repository.git("merge", "--quiet", "--no-edit", "branch")
    repository.write("Change something else", unrelated=2)
    bad = repository.write("And once more", unrelated=3)
    searched = read_range(repository.path, good, bad, paths=PATHS)
    # Neither the README nor the other file nor the merge of both changes the service.
    assert [one.weight for one in searched.commits].count(0.0) == 3
    opponent = TinyOpponent(repository, good, tmp_path)
    answer = await Bisection("b", searched, opponent, Silent(), keep=lambda _: None).run()
    assert answer.status == "found"
    assert answer.suspects[0].sha == guilty
    assert answer.exit_code == 1
    assert "+    return sum(range(60000))" in answer.diff
    assert "def work():" in answer.diff
    assert len(answer.steps) <= 6
    write_bisection(tmp_path / "page", answer)
    page = (tmp_path / "page" / "index.html").read_text()
    assert guilty[:10] in page
    assert "sum(range(60000))" in page
    assert json.loads((tmp_path / "page" / "bisection.json").read_text())["status"] == "found"


@dataclass
class Known:
    """An opponent whose truth is known: noise around the slowdown of what a commit holds."""

    slow: frozenset[str]
    noise: random.Random
    effect: float = 0.15
    broken: frozenset[str] = frozenset()
    flaky: float = 0.0
    found: tuple[Finding, ...] = ()
    asked: list[str] = field(default_factory=list)

    async def blocks(self, sha: str) -> AsyncIterator[Mapping[Key, float]]:
        self.asked.append(sha)
        if sha in self.broken:
            raise StackError(f"{sha} does not start")
        while True:
            if self.noise.random() < self.flaky:
                raise MeasurementError("the generator failed")
            effect = self.effect if sha in self.slow else 0.0
            yield {("GET /", "pair_ms"): effect + self.noise.gauss(0, 0.03)}

    async def findings(self) -> tuple[Finding, ...]:
        return self.found


def history(repository: Repository, count: int) -> list[str]:
    return [repository.write(f"Change {i}", unrelated=i) for i in range(count)]


def known(shas: list[str], guilty: int, seed: int = 1, **more: object) -> Known:
    return Known(frozenset(shas[guilty:]), random.Random(seed), **more)  # type: ignore[arg-type]


async def found(repository: Repository, shas: list[str], opponent: Known, **more: object) -> Culprit:
    searched = read_range(repository.path, shas[0], shas[-1], paths=PATHS)
    return await Bisection("b", searched, opponent, Silent(), **more).run()  # type: ignore[arg-type]


async def test_thirty_two_commits_take_at_most_eight_duets(repository: Repository) -> None:
    shas = history(repository, 33)
    right = 0
    for seed in range(20):
        guilty = random.Random(seed).randrange(1, 33)
        answer = await found(repository, shas, known(shas, guilty, seed))
        right += answer.status == "found" and answer.suspects[0].sha == shas[guilty]
        assert len(answer.steps) <= 8
    assert right >= 19


async def test_measurements_that_fail_now_and_then_are_made_again(repository: Repository) -> None:
    shas = history(repository, 17)
    answer = await found(repository, shas, known(shas, 7, flaky=0.1))
    assert answer.status == "found"
    assert answer.suspects[0].sha == shas[7]


async def test_what_does_not_start_is_passed_over(repository: Repository) -> None:
    shas = history(repository, 17)
    answer = await found(repository, shas, known(shas, 8, broken=frozenset(shas[7:9])))
    assert answer.status == "narrowed"
    assert {shas[8]} <= {one.sha for one in answer.suspects} <= set(shas[7:10])
    assert "no duet tells them apart" in answer.sentence
    assert any("does not start" in step.note for step in answer.steps)


async def test_a_bad_commit_that_is_not_slower_ends_at_once(repository: Repository) -> None:
    shas = history(repository, 9)
    opponent = known(shas, 9)
    answer = await found(repository, shas, opponent)
    assert (answer.status, answer.exit_code) == ("same", 0)
    assert opponent.asked == [shas[-1]]


async def test_a_search_whose_time_is_up_says_what_is_left(repository: Repository) -> None:
    shas = history(repository, 17)
    kept: list[Culprit] = []
    answer = await found(repository, shas, known(shas, 8), limit_s=0.0, keep=kept.append)
    assert answer.status == "stopped"
    assert len(answer.suspects) > 10
    assert kept[0].steps[0].sha == shas[-1]


async def test_a_finding_leads_the_search_to_the_commit_that_touches_it(repository: Repository) -> None:
    shas = history(repository, 12)
    shas.append(repository.write("Sum up more", work=30_000))
    shas += history(repository, 20)
    finding = Finding("function", "work", "", {"function": "work", "file": "service.py"})
    answer = await found(repository, shas, known(shas, 12, found=(finding,)))
    assert answer.status == "found"
    assert answer.suspects[0].sha == shas[12]
    assert answer.likelihoods[0].sha == shas[12]
    assert answer.likelihoods[0].touches == "function work"
    assert len(answer.steps) <= 5


def test_what_is_no_range_is_refused_in_one_line(repository: Repository) -> None:
    shas = history(repository, 3)
    with pytest.raises(UsageError, match="same commit"):
        read_range(repository.path, shas[0], shas[0], paths=PATHS)
    with pytest.raises(UsageError, match=f"{shas[2]} is no ancestor of {shas[0]}"):
        read_range(repository.path, shas[2], shas[0], paths=PATHS)
    with pytest.raises(UsageError, match="nobody names no commit"):
        read_range(repository.path, "nobody", shas[0], paths=PATHS)
