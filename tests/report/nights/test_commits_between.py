"""A change in the history names the commits between its two nights, and what they touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adx_lab.analysis.nights.change_points import ChangePoint, Night
from adx_lab.analysis.nights.ratio_series import RatioSeries
from adx_lab.report.nights.commits_between import commits_of
from tests.conduct.bisection.tiny_service import Repository


def series(before: str, after: str, cause: str | None) -> RatioSeries:
    nights = [Night(run_id=sha, date="2026-03-01", commit=sha, ratio=1.0) for sha in (before, after)]
    change = ChangePoint(
        direction="slower",
        alarm=True,
        ratio=1.2,
        low=1.1,
        high=1.3,
        p=0.001,
        before=nights[0],
        after=nights[1],
        found=nights[1],
        cause=cause,
    )
    return RatioSeries("GET /", "pair_ms", tuple(nights), (change,))


def test_the_commit_that_touches_the_cause_comes_first(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    before = repository.write("Begin")
    repository.write("Change something else", unrelated=1)
    guilty = repository.write("Sum up more", work=60_000)
    (repository.path / "README").write_text("A tiny service.\n")
    after = repository.commit("Say what it is")
    found = series(before, after, "function work")
    table = commits_of([found], checkout=repository.path, paths=("service.py",))
    assert [row[2:5] for row in table.texts] == [
        (guilty[:10], "Sum up more", "function work"),
        (table.rows[1][2], "Change something else", "other parts of the service"),
    ]
    assert table.rows[0][5] > 0.8
    # Without a cause all that change the service are alike, and what does not is not named.
    alike = commits_of([series(before, after, None)], checkout=repository.path, paths=("service.py",))
    assert [row[5] for row in alike.rows] == [0.5, 0.5]


def test_commits_that_nobody_has_are_no_error(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    sha = repository.write("Begin")
    gone = series("0" * 40, sha, None)
    nameless = replace(gone, changes=(replace(gone.changes[0], before=replace(gone.nights[0], commit="")),))
    assert commits_of([gone, nameless], checkout=repository.path).rows == ()
