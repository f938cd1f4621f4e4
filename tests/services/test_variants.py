"""Variants are what people type; what can't be one is refused before anything is started."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from adx_lab.errors import UsageError
from adx_lab.report.duet.source_change import source_change
from adx_lab.services.sources import commit_of, export_ref, patched, same_lock, working_tree
from adx_lab.services.variants import read_variant
from adx_lab.settings import CHECKOUT, Settings, read_settings

SLOWDOWNS = CHECKOUT / "data" / "slowdowns"
in_repository = pytest.mark.skipif(commit_of(CHECKOUT, "HEAD") is None, reason="no git repository here")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({}, {"home": str(tmp_path)})


def test_the_working_tree_is_itself(settings: Settings) -> None:
    variant = read_variant(".", settings)
    assert variant.tree is not None
    assert variant.tree.path == CHECKOUT
    assert variant.resolved["cache.l1"] == "on"
    assert variant.resolved["pool.max"] == "100"
    assert variant.identity == read_variant(".", settings).identity


def test_rules_and_settings_reach_the_core(settings: Settings) -> None:
    variant = read_variant(".+cache.l1=off+db.indexes=off+pool.max=5", settings)
    assert variant.start.switches_off == "cache.l1,db.indexes"
    assert (variant.start.env["ADX_CORE_POOL_MAX"], variant.start.env["ADX_CORE_POOL_MIN"]) == ("5", "5")
    assert variant.resolved["cache.l1"] == "off"
    assert variant.resolved["pool.max"] == "5"
    assert variant.identity != read_variant(".", settings).identity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".+cache.l3=off", "did you mean cache.l2"),
        (".+pool.maxx=5", "did you mean pool.max"),
        (".+cache.l1=7", "on or off"),
        (".+pool.max=many", "expected int"),
        (".+patch=nowhere.patch", "nowhere.patch"),
        (".+sql=nowhere.sql", "nowhere.sql can't be read: No such file"),
        ("no-such-ref", "names no commit"),
        ("+cache.l1=off", "names no tree"),
        # A variant is typed: nothing of it may become an option of git's.
        ("--output=x", "names no commit"),
    ],
)
def test_what_can_not_be_one_is_refused(settings: Settings, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        read_variant(text, settings)


def test_nothing_is_guessed_where_nothing_is_near(settings: Settings) -> None:
    with pytest.raises(UsageError) as said:
        read_variant(".+zzz=off", settings)
    assert "did you mean" not in str(said.value)


def test_the_prefix_and_the_port_are_the_labs(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no switch or setting port"):
        read_variant(".+port=80", settings)


def test_a_url_is_somebody_elses(settings: Settings) -> None:
    variant = read_variant("http://127.0.0.1:1/", settings)
    assert (variant.url, variant.tree) == ("http://127.0.0.1:1", None)


def worktrees() -> set[str]:
    """The folders that git has checked out; what others commit in theirs meanwhile is no matter here."""
    told = subprocess.run(
        ["git", "worktree", "list", "--porcelain"], cwd=CHECKOUT, capture_output=True, check=True, text=True
    )
    return {line for line in told.stdout.splitlines() if line.startswith("worktree ")}


@in_repository
def test_a_ref_is_exported_once_and_leaves_git_alone(settings: Settings) -> None:
    before = worktrees()
    first = read_variant("HEAD", settings)
    assert first.tree is not None
    assert (first.tree.path / "adx_lab" / "core" / "__main__.py").exists()
    stamp = (first.tree.path / ".complete").stat().st_mtime_ns
    assert read_variant("HEAD", settings).tree == first.tree
    assert (first.tree.path / ".complete").stat().st_mtime_ns == stamp
    assert worktrees() == before


@in_repository
def test_old_exports_are_pruned(tmp_path: Path) -> None:
    commits = subprocess.run(
        ["git", "rev-list", "-n", "12", "HEAD", "--", "adx_lab"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    trees = [export_ref(CHECKOUT, commit, tmp_path) for commit in commits]
    assert len(list(tmp_path.iterdir())) <= 8
    assert trees[-1].path.exists()


def test_other_libraries_are_told(tmp_path: Path) -> None:
    ours = working_tree(CHECKOUT)
    copy = patched(ours, SLOWDOWNS / "blocking.patch", tmp_path)
    assert same_lock(ours, copy)
    (copy.path / "requirements.lock").write_text("asyncpg==0.1\n")
    assert not same_lock(ours, copy)


@pytest.mark.parametrize("patch", sorted(SLOWDOWNS.glob("*.patch")), ids=lambda path: path.stem)
def test_every_slowdown_fits_the_tree(tmp_path: Path, patch: Path) -> None:
    ours = working_tree(CHECKOUT)
    copy = patched(ours, patch, tmp_path)
    assert copy.fingerprint != ours.fingerprint
    assert patched(ours, patch, tmp_path) == copy


def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.patch"
    wrong.write_text(
        "--- a/adx_lab/core/users/users.py\n+++ b/adx_lab/core/users/users.py\n@@ -1,1 +1,1 @@\n-no\n+yes\n"
    )
    with pytest.raises(UsageError, match="does not fit"):
        patched(working_tree(CHECKOUT), wrong, tmp_path / "trees")
    assert not list((tmp_path / "trees").iterdir())


@in_repository
def test_what_was_changed_is_kept_with_a_variant(settings: Settings, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "service.py").write_text("fast = True\nport = 1\n")
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"),
    ):
        subprocess.run(["git", *words], cwd=source, check=True)
    clean = working_tree(source)
    assert clean.lines == ""
    (source / "service.py").write_text("fast = False\nport = 1\n")
    changed = working_tree(source)
    assert "-fast = True\n+fast = False\n" in changed.lines
    assert changed == replace(changed, lines="")
    patch = tmp_path / "port.patch"
    patch.write_text(
        "Another port.\n\n--- a/service.py\n+++ b/service.py\n"
        "@@ -1,2 +1,2 @@\n fast = False\n-port = 1\n+port = 2\n"
    )
    both = patched(changed, patch, tmp_path / "trees")
    assert both.lines.startswith(changed.lines)
    assert "Another port" not in both.lines
    told = [{"commit": clean.commit, "text": ".", "lines": one.lines} for one in (clean, changed, both)]
    assert source_change({"base": told[0], "head": told[1]}, source).shown().endswith("+fast = False")
    # What both have is no difference between them.
    assert source_change({"base": told[1], "head": told[2]}, source).shown().splitlines() == [
        *("+++ b/service.py", "-port = 1", "+port = 2")
    ]
    assert not source_change({"base": told[1], "head": told[1]}, source)


@in_repository
def test_commits_are_those_of_the_services_own_repository(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in (1, 2):
        (source / "service.py").write_text(f"version = {number}\n")
        for words in (
            ("init", "-q"),
            ("add", "."),
            ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", f"v{number}"),
        ):
            subprocess.run(["git", *words], cwd=source, check=True)
    commits = [commit_of(source, ref) for ref in ("HEAD~1", "HEAD")]
    base, head = ({"commit": commit, "text": "x", "paths": ["service.py"], "lines": ""} for commit in commits)
    change = source_change({"base": base, "head": head}, source)
    assert change.commits[0].endswith("v2")
    assert "+version = 2" in change.lines
