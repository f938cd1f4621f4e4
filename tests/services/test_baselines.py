"""A baseline is a service's in an environment: two in one data folder do not share it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from adx_lab.conduct.baseline import baseline_commits, baseline_file, read_baseline, set_baseline
from adx_lab.settings import Settings, override, read_settings


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    git(tmp_path, "init", "-q")
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", name)
    (tmp_path / "adx-lab.toml").write_text('[service]\nname = "shop"\nurl = "http://127.0.0.1:1"\n')
    return read_settings({}, {"home": str(tmp_path)})


def test_each_service_and_environment_has_its_own(settings: Settings) -> None:
    staging = override(settings, {"service.environment": "staging/eu"})
    assert set_baseline(settings, "HEAD").commit == git(settings.source_dir, "rev-parse", "HEAD")
    assert read_baseline(staging) is None
    set_baseline(staging, "HEAD~1")
    kept = read_baseline(settings)
    assert kept is not None
    assert kept.ref == "HEAD"
    commits = git(settings.source_dir, "rev-list", "HEAD").split()
    assert baseline_commits(settings) == set(commits)


def test_names_that_a_file_can_not_have_stay_apart(settings: Settings) -> None:
    names = ("a/b", "a b", "a-b")
    files = {baseline_file(override(settings, {"service.environment": name})) for name in names}
    assert len(files) == len(names)
    assert {file.parent for file in files} == {settings.data_dir / "baselines"}
