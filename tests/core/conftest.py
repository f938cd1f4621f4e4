"""One core for most tests: two workers, on a seeded database, with everything on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.core.harness import (
    SEEDED,
    Client,
    Core,
    log_in_as,
    make_database,
    read_sample,
    run_core,
    running_core,
)

if TYPE_CHECKING:
    from pathlib import Path

    from adx_lab.core.database.sample import Sample

StartCore = Callable[..., Core]


@pytest.fixture(scope="session")
def seeded_url(postgres_url: str) -> str:
    """The data set at its small scale; read only: take a clone to change it."""
    url = asyncio.run(make_database(postgres_url, SEEDED))
    done = run_core("seed", database_url=url)
    assert done.returncode == 0, done.stderr
    return url


@pytest.fixture(scope="session")
def sample(seeded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return read_sample(seeded_url, tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def core_url(seeded_url: str, postgres_url: str) -> str:
    """The database of the session's core."""
    return asyncio.run(make_database(postgres_url, "core_tests", SEEDED))


@pytest.fixture(scope="session")
def core(core_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    folder = tmp_path_factory.mktemp("core")
    with running_core(
        folder, database_url=core_url, valkey_url=valkey_url, key_prefix="core:", workers=2, server_timing=1
    ) as core:
        yield core


@pytest.fixture
def start_core(core_url: str, valkey_url: str, tmp_path: Path) -> Iterator[StartCore]:
    """Starts further cores, each with its own settings and, unless told otherwise, its own keys."""
    with ExitStack() as stack:
        started: list[Core] = []

        def start(verb: str = "serve", **settings: object) -> Core:
            defaults = {
                "database_url": core_url, "valkey_url": valkey_url, "server_timing": 1,
                "key_prefix": f"{tmp_path.name}:",
            }  # fmt: skip
            folder = tmp_path / f"core-{len(started)}"
            core = stack.enter_context(running_core(folder, verb, **{**defaults, **settings}))
            started.append(core)
            return core

        yield start


@pytest.fixture
def clone_url(seeded_url: str, postgres_url: str, request: pytest.FixtureRequest) -> str:
    """A fresh copy of the data set, for a test that breaks it."""
    return asyncio.run(make_database(postgres_url, f"clone_{abs(hash(request.node.name)) % 10**9}", SEEDED))


@pytest.fixture(scope="session")
def admin(core: Core, sample: Sample) -> Client:
    return log_in_as(core.url, sample, "admin")


@pytest.fixture(scope="session")
def viewer(core: Core, sample: Sample) -> Client:
    return log_in_as(core.url, sample, "viewer")


@pytest.fixture(scope="session")
def stranger(core: Core, sample: Sample) -> Client:
    """An administrator of another tenant."""
    return log_in_as(core.url, sample, "admin", tenant=2)


@pytest.fixture(scope="session")
def nobody(core: Core) -> Client:
    return Client(core.url)
