"""The stack's whole life, through the command line, as a person lives it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import Home
from tests.stack.test_processes import gone


@pytest.fixture
def own_home(home: Home) -> Iterator[Home]:
    yield home
    home.adx_lab("down", "--purge")


def all_pids(state: dict[str, Any]) -> list[int]:
    return [state["holder_pid"], *(pid for pids in state["processes"].values() for pid in pids)]


def test_up_status_down_and_again(own_home: Home) -> None:
    for _ in range(2):
        up = own_home.adx_lab("up", "--detach", "--json")
        assert up.code == 0, up.err
        state = own_home.adx_lab("status", "--json")
        assert state.code == 0
        assert state.json()["status"] == "up"
        again = own_home.adx_lab("up", "--detach", "--json")
        assert again.json()["holder_pid"] == up.json()["holder_pid"]
        down = own_home.adx_lab("down")
        assert (down.code, down.out) == (0, "the stack stopped\n")
        assert all(gone(pid) for pid in all_pids(up.json()))
        assert own_home.adx_lab("status").code == 3
    assert own_home.adx_lab("down").out == "the stack was not up\n"


def started_again(home: Home, role: str, pid: int) -> Any:
    """Wait until the stack is up with another process in a role, and return its state."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        state = home.adx_lab("status", "--json").json()
        if state["status"] == "up" and state["processes"][role] != [pid]:
            return state
    raise AssertionError(f"{role} was not started again: {state}")


@pytest.mark.parametrize("victim", ["postgres", "worker"])
def test_a_killed_part_is_started_again_and_its_death_is_noted(own_home: Home, victim: str) -> None:
    state = own_home.adx_lab("up", "--detach", "--json").json()
    (pid,) = state["processes"][victim]
    os.kill(pid, signal.SIGKILL)
    again = started_again(own_home, victim, pid)
    assert again["holder_pid"] == state["holder_pid"]
    assert gone(pid)
    log = (own_home.data / "stack" / "logs" / "up.log").read_text()
    assert f"{victim} was killed by signal 9" in log
    (death,) = (own_home.data / "stack" / "deaths.jsonl").read_text().splitlines()
    assert json.loads(death)["pid"] == pid


def test_a_part_that_dies_again_and_again_stops_the_stack_and_the_next_start_recovers(own_home: Home) -> None:
    state = own_home.adx_lab("up", "--detach", "--json").json()
    for _ in range(3):
        (pid,) = state["processes"]["worker"]
        os.kill(pid, signal.SIGKILL)
        state = started_again(own_home, "worker", pid)
    os.kill(state["processes"]["worker"][0], signal.SIGKILL)
    assert all(gone(pid, seconds=60) for pid in all_pids(state))
    assert own_home.adx_lab("status", "--json").json()["status"] == "down"
    second = own_home.adx_lab("up", "--detach", "--json")
    assert second.code == 0, second.err
    assert second.json()["status"] == "up"


def test_killing_the_holder_leaves_no_process_and_the_next_start_recovers(own_home: Home) -> None:
    first = own_home.adx_lab("up", "--detach", "--json").json()
    os.kill(first["holder_pid"], signal.SIGKILL)
    assert all(gone(pid, seconds=30) for pid in all_pids(first))
    assert own_home.adx_lab("up", "--detach").code == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stack_in_the_foreground_goes_quietly(own_home: Home, how: signal.Signals) -> None:
    process = subprocess.Popen(
        own_home.command("up", "--json"),
        env=own_home.environ(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        deadline = time.monotonic() + 120
        while own_home.adx_lab("status").code != 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        state = own_home.adx_lab("status", "--json").json()
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert all(gone(pid) for pid in all_pids(state))


def test_a_second_holder_is_refused_in_one_line(stack_home: Home) -> None:
    refused = stack_home.adx_lab("up", "--fresh")
    assert refused.code == 2
    assert refused.error_lines == [
        "adx-lab: the stack is up already, with other settings; run adx-lab down first"
    ]


def test_a_taken_port_is_one_line(own_home: Home, stack_state: dict[str, Any]) -> None:
    taken = stack_state["base_url"].rsplit(":", 1)[1]
    refused = own_home.adx_lab("up", "--detach", "--port", taken)
    assert refused.code == 2
    assert len(refused.error_lines) == 1
    assert taken in refused.error_lines[0]


def test_an_unreachable_database_is_one_line(home: Home) -> None:
    refused = home.adx_lab(
        "up", environ={"ADX_LAB_DATABASE_URL": "postgresql://somebody:secret@127.0.0.1:1/x"}
    )
    assert refused.code == 4
    assert len(refused.error_lines) == 1
    assert "can't be reached" in refused.error_lines[0]
    assert "secret" not in refused.err


def test_a_folder_that_cannot_be_written_is_one_line(home: Home) -> None:
    (home.data / "stack").write_text("a file where a folder should be")
    refused = home.adx_lab("up", "--detach")
    assert refused.code == 4
    assert len(refused.error_lines) == 1


def test_external_servers_are_used_and_nothing_is_started(
    own_home: Home, postgres_url: str, valkey_url: str
) -> None:
    async def make(name: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.execute(f"CREATE DATABASE {name}_stranger")
        await connection.close()
        stranger = await asyncpg.connect(postgres_url.replace("/postgres?", f"/{name}_stranger?"))
        await stranger.execute("CREATE TABLE invoices ()")
        await stranger.close()

    asyncio.run(make("external"))
    external = {
        "ADX_LAB_DATABASE_URL": postgres_url.replace("/postgres?", "/external?"),
        "ADX_LAB_VALKEY_URL": valkey_url,
    }
    up = own_home.adx_lab("up", "--detach", "--json", environ=external)
    assert up.code == 0, up.err
    assert set(up.json()["processes"]) == {"service", "worker"}
    assert own_home.adx_lab("down").code == 0
    strange = external | {"ADX_LAB_DATABASE_URL": postgres_url.replace("/postgres?", "/external_stranger?")}
    refused = own_home.adx_lab("up", "--detach", environ=strange)
    assert refused.code == 2
    assert "not ADX Core's" in refused.error_lines[0]
    assert not (Path(own_home.data) / "stack" / "servers" / "postgres").exists()


def test_down_signals_nobody_who_does_not_hold_the_stack(home: Home) -> None:
    lock = home.data / "stack" / "stack.lock"
    lock.parent.mkdir()
    for words in ("", str(os.getpid())):
        lock.write_text(words)
        with subprocess.Popen(
            ["flock", lock, "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE, start_new_session=True
        ) as stranger:
            assert stranger.stdout is not None
            stranger.stdout.readline()
            done = home.adx_lab("down")
            assert stranger.poll() is None
            os.killpg(stranger.pid, signal.SIGKILL)
        assert (done.code, len(done.error_lines)) == (4, 1)
    assert home.adx_lab("down").code == 0
