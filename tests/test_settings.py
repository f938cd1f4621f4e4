from __future__ import annotations

from pathlib import Path

import pytest

from adx_lab.errors import UsageError
from adx_lab.settings import known_names, read_settings


def write(home: Path, text: str) -> dict[str, str]:
    (home / "adx-lab.toml").write_text(text)
    return {"ADX_LAB_HOME": str(home)}


def test_later_layers_win(tmp_path: Path) -> None:
    env = write(tmp_path, "[load]\nrate_per_s = 10\nduration_s = 11\nwarmup_s = 12\n")
    env |= {"ADX_LAB_LOAD_DURATION_S": "21", "ADX_LAB_LOAD_WARMUP_S": "22"}
    load = read_settings(env, {"load.warmup_s": 32.0, "load.seed": None}).load
    assert (load.rate_per_s, load.duration_s, load.warmup_s, load.seed) == (10, 21, 32, 1)


@pytest.mark.parametrize(
    ("env", "flags", "said"),
    [
        ({"ADX_LAB_LOAD_RATE": "3"}, {}, "did you mean ADX_LAB_LOAD_RATE_PER_S?"),
        ({"ADX_LAB_LOAD_RATE_PER_S": "fast"}, {}, "expected a number, got a text"),
        ({}, {"load.ratio": 1}, "unknown setting load.ratio in the command line; did you mean"),
        ({"ADX_LAB_HOME": "/nowhere/at/all"}, {}, "does not exist"),
    ],
)
def test_what_is_wrong_is_refused_with_the_mend(
    env: dict[str, str], flags: dict[str, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?").replace(".", r"\.")):
        read_settings(env, flags)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[load]\nspeed = 1\n", "unknown setting load.speed in .*adx-lab.toml; did you mean load.seed"),
        ("[load", "is not TOML"),
        ("[services]\n", "unknown setting services in .*adx-lab.toml; did you mean service"),
        ("[service.strat]\n", "unknown setting service.strat in"),
        ('[service]\nurl = "http://"\n', "service.url in .*adx-lab.toml is http://; write it as http"),
        (
            '[service]\nurl = "http://shop:99999"\n',
            "service.url in .*adx-lab.toml is http://shop:99999; write",
        ),
        ("load = 3\n", "unknown setting load in"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_settings(write(tmp_path, text))


@pytest.mark.parametrize("what", ["a folder", "a link to nowhere"])
def test_a_file_that_can_not_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What is upwards of it, or the reference core, would be measured in its place."""
    (tmp_path / "sub folder").mkdir()
    file = tmp_path / "adx-lab.toml"
    if what == "a folder":
        file.mkdir()
    else:
        file.symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path / "sub folder")
    with pytest.raises(UsageError, match=r"adx-lab.toml can't be read"):
        read_settings({})


def test_the_cores_own_environment_can_be_set_in_the_file(tmp_path: Path) -> None:
    env = write(tmp_path, '[service.start.env]\nADX_CORE_POOL_MAX = "7"\n')
    assert read_settings(env).service.start.env["ADX_CORE_POOL_MAX"] == "7"


def test_every_setting_has_a_variable_of_its_own() -> None:
    names = list(known_names())
    assert len({name.replace(".", "_") for name in names}) == len(names)
