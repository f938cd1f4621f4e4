from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from adx_lab.core.database import schema
from adx_lab.core.errors import ConfigError
from adx_lab.core.settings import Settings, load_settings, names
from tests.capture.plans.test_anywhere import pgbouncer
from tests.core.harness import Core, alive, core_environ, eventually, make_database, metric, run_core

StartCore = Callable[..., Core]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_it_says_where_it_listens_when_every_worker_does(start_core: StartCore) -> None:
    core = start_core(workers=3)
    assert core.told["pid"] == core.process.pid
    assert len(set(core.told["worker_pids"])) == 3
    assert all(alive(pid) for pid in core.told["worker_pids"])
    assert httpx.get(f"{core.url}/api/v1/health").json() == {"status": "ok"}
    assert core.told["version"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_quietly_when_told_to(number: signal.Signals, start_core: StartCore) -> None:
    core = start_core(workers=2)
    assert core.stop(number) == 0
    assert not any(alive(pid) for pid in core.told["worker_pids"])
    assert "Traceback" not in core.log.read_text()


def test_its_workers_end_with_it_however_it_ends(start_core: StartCore) -> None:
    core = start_core(workers=2)
    core.process.kill()
    eventually(lambda: not any(alive(pid) for pid in core.told["worker_pids"]))


def test_it_ends_with_its_parent_when_asked_to(core_url: str, tmp_path: Path) -> None:
    announced = tmp_path / "core.json"
    environ = core_environ(database_url=core_url, port=0, announce=announced)
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-m', 'adx_lab.core'])"
    code += "; time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=subprocess.DEVNULL)
    eventually(announced.exists, 20)
    pid = httpx.Response(200, content=announced.read_bytes()).json()["pid"]
    parent.kill()
    parent.wait()
    eventually(lambda: not alive(pid))


def test_a_port_that_is_taken_is_one_line(core_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_core(database_url=core_url, port=taken.getsockname()[1])
    assert done.returncode == 2
    assert "Address already in use" in one_line(done)


def test_two_cores_never_share_a_port(start_core: StartCore, core_url: str) -> None:
    # Both bind with SO_REUSEPORT, which would let them.
    core = start_core()
    done = run_core(database_url=core_url, port=core.url.rpartition(":")[2])
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"pool_maximum": 3}, "did you mean ADX_CORE_POOL_MAX"),
        ({"port": "http"}, "ADX_CORE_PORT='http': expected int"),
        ({"port": 70000}, "expected 0 to 65535"),
        ({"workers": 0}, "expected at least 1"),
        ({"pool_min": 9, "pool_max": 3}, "ADX_CORE_POOL_MIN=9"),
        ({"log_level": "loud"}, "expected debug"),
        ({"valkey_url": "http://x"}, "expected valkey://"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, object], told: str) -> None:
    done = run_core(**settings)  # type: ignore[arg-type]
    assert done.returncode == 2
    assert told in one_line(done)


@pytest.mark.parametrize("connections", [1, 20])
def test_a_pooler_that_hands_connections_round_is_refused_in_one_line(
    connections: int, seeded_url: str, tmp_path: Path
) -> None:
    with pgbouncer(seeded_url, tmp_path, connections) as url:
        eventually(lambda: listens(urlsplit(url).port or 0))
        # What the first left behind on the pooler's connections changes nothing for the others.
        for verb in ("serve", "serve", "worker", "migrate"):
            done = run_core(verb, database_url=url, port=0)
            assert (done.returncode, "PgBouncer" in one_line(done)) == (2, True), done.stderr


async def test_a_pooler_is_asked_for_no_cancellation(
    seeded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer 1.18 ends when a client that is gone has a query cancelled."""
    with pgbouncer(seeded_url, tmp_path, 1) as url:
        for number in range(30):  # given up at many moments
            monkeypatch.setattr(schema, "_POOLER_S", 0.01 * (1 + number % 15))
            with pytest.raises(ConfigError, match="PgBouncer"):
                await schema.refuse_pooler(url)
        assert "cancel request" not in (tmp_path / "pooler.log").read_text()


def test_a_database_without_tables_is_one_line_and_migrate_mends_it(postgres_url: str) -> None:
    url = asyncio.run(make_database(postgres_url, "core_empty"))
    done = run_core(database_url=url)
    assert done.returncode == 2
    assert "migrate" in one_line(done)
    assert run_core("migrate", database_url=url).returncode == 0
    assert run_core("migrate", database_url=url).returncode == 0
    again = run_core("seed", database_url=url)
    assert again.returncode == 2
    assert "--replace" in one_line(again)


def test_the_data_set_is_the_same_for_the_same_seed(
    postgres_url: str, sample: object, tmp_path: Path
) -> None:
    from tests.core.harness import read_sample  # noqa: PLC0415

    url = asyncio.run(make_database(postgres_url, "core_again"))
    assert run_core("seed", database_url=url).returncode == 0
    assert read_sample(url, tmp_path) == sample
    assert run_core("seed", "--seed", "7", "--replace", database_url=url).returncode == 0
    assert read_sample(url, tmp_path) != sample


def test_every_setting_can_be_set(core_url: str) -> None:
    known = names()
    assert {"ADX_CORE_POOL_MAX", "ADX_CORE_RULES_OFF", "ADX_CORE_ANNOUNCE"} <= set(known)
    settings = load_settings(
        {"ADX_CORE_POOL_MAX": "7", "ADX_CORE_POOL_MIN": "1", "ADX_CORE_SERVER_TIMING": "1"}
    )
    assert settings.pool.max == 7
    assert settings.server_timing
    assert load_settings({}) == Settings()
    with pytest.raises(ConfigError, match="did you mean ADX_CORE_WORKERS"):
        load_settings({"ADX_CORE_WORKER": "1"})


def test_connections_are_shared_out_among_workers(start_core: StartCore) -> None:
    core = start_core(workers=4, pool_max=20, pool_min=8)
    eventually(lambda: metric(core.url, "db_connections_max") == 20)
    eventually(lambda: metric(core.url, "db_connections_idle") == 8)


def test_a_client_that_holds_its_connection_does_not_hold_up_the_end(start_core: StartCore) -> None:
    core = start_core()
    with httpx.Client() as client:
        client.get(f"{core.url}/api/v1/health")
        started = time.monotonic()
        assert core.stop() == 0
        assert time.monotonic() - started < 10
    assert not alive(core.process.pid) or os.waitpid(core.process.pid, os.WNOHANG)
