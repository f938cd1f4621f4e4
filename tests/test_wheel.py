"""What is installed is enough: in an empty folder, without the checkout, the lab finds all that it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from adx_lab.settings import CHECKOUT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it as an installer does: its folder goes on the path."""
    built, target = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def shipped(folder: Path) -> set[str]:
    """Return the files below a folder that git tracks, by their paths from the top."""
    listed = subprocess.run(
        ["git", "ls-files", folder.name], cwd=folder.parent, capture_output=True, text=True, check=False
    )
    names = listed.stdout.split() or [str(path.relative_to(CHECKOUT)) for path in folder.rglob("*.*")]
    return {name for name in names if (CHECKOUT / name).is_file()}


@pytest.mark.parametrize("folder", ["notebooks", "locustfiles", "data"])
def test_the_wheel_holds_what_the_top_level_holds(installed: Path, folder: str) -> None:
    packed = installed / "adx_lab" / "shipped"
    expected = shipped(CHECKOUT / folder)
    assert expected
    assert not [name for name in expected if not (packed / name).is_file()]


def test_an_empty_folder_is_enough(installed: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ADX_LAB_")}
    program = (
        "import json; from adx_lab.settings import read_settings; s = read_settings();"
        "found = [str(s.home_dir), str(s.notebooks_dir), str(s.budgets_file), sorted(s.scenario_files())];"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    home, notebooks, budgets, scenarios = json.loads(done.stdout)
    assert Path(home) == tmp_path.resolve()
    assert Path(notebooks).is_relative_to(installed)
    assert Path(budgets).is_file()
    assert {"mixed", "steps"} <= set(scenarios)
    assert not list(tmp_path.iterdir())
