"""With a secret in every setting: none is in any file, log, message, page or process list; all is private."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import asyncpg
import psutil
import pytest
import valkey

from adx_lab.services.variants import shown_variant
from tests.conftest import Finished, Home, make_home

MARK = "S3CRET"

Left = tuple[Home, list[Finished], str]


@pytest.fixture(scope="module")
def environ(postgres_url: str, valkey_url: str, webhook: str) -> Iterator[dict[str, str]]:
    """The session's servers as somebody's own, behind passwords."""

    async def make() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("CREATE DATABASE leaks")
        await connection.execute(f"CREATE ROLE leaky SUPERUSER LOGIN PASSWORD '{MARK}db'")
        await connection.close()

    asyncio.run(make())
    server: Any = valkey.Valkey.from_url(valkey_url)
    server.execute_command("ACL", "SETUSER", "leaky", "on", f">{MARK}vk", "~*", "&*", "+@all")
    sockets = postgres_url.split("host=")[1]
    path = valkey_url.removeprefix("unix://")
    yield {
        "ADX_LAB_DATABASE_URL": f"postgresql://leaky@/leaks?host={sockets}&password={MARK}db",
        "ADX_LAB_VALKEY_URL": f"unix://leaky:{MARK}vk@{path}",
        "ADX_LAB_STORE_URL": f"postgresql://u:{MARK}st@127.0.0.1:1/x",
        "ADX_LAB_NIGHT_WEBHOOK_URL": f"{webhook}/{MARK}hook?token={MARK}query",
    }
    server.execute_command("ACL", "DELUSER", "leaky")
    server.close()


@pytest.fixture(scope="module")
def left(
    tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]
) -> Iterator[tuple[Home, list[Finished], str]]:
    """What a stack, a run and a night leave: a home, what was said, and the command lines meanwhile."""
    home = make_home(tmp_path_factory.mktemp("leaks") / "home")
    toml = f'[service.start.env]\nADX_CORE_TOKEN_SECRET = "{MARK}signs-32-bytes-at-the-least"\n'
    (home.path / "adx-lab.toml").write_text(toml)
    os.umask(0o022)
    up = home.adx_lab("up", "--detach", "--debug", environ=environ)
    assert up.code == 0, up.err
    said = [up]
    lines = ""
    try:
        said.append(home.adx_lab("status", "--json", environ=environ))
        words = ("nightly", "--duration", "3", "--rate", "60", "--blocks", "0", "--debug")
        with subprocess.Popen(
            home.command(*words),
            env=home.environ() | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as night:
            while night.poll() is None:
                lines += _command_lines()
                try:
                    night.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
            assert night.stdout is not None
            assert night.stderr is not None
            said.append(Finished(night.returncode, night.stdout.read(), night.stderr.read()))
        said.append(home.adx_lab("runs", "list", environ=environ))
        said.append(home.adx_lab("runs", "show", environ=environ))
        said.append(home.adx_lab("doctor", environ=environ))
        yield home, said, lines
    finally:
        said.append(home.adx_lab("down", environ=environ))


def _command_lines() -> str:
    return "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_the_night_was_made(left: Left) -> None:
    home, said, _ = left
    assert json.loads(said[1].out)["status"] == "up"
    assert list((home.data / "reports").glob("*/verdict.json")), said[2].err
    assert "the run store" in said[3].err  # that one is away


def test_no_secret_is_anywhere(left: Left) -> None:
    home, said, lines = left
    known = MARK.encode()
    own = home.path / "adx-lab.toml"
    holding = [
        str(path.relative_to(home.path))
        for path in home.path.rglob("*")
        if path != own and path.is_file() and known in path.read_bytes()
    ]
    assert holding == []
    for done in said:
        assert MARK not in done.out + done.err
    assert "locust" in lines
    assert MARK not in lines


def test_all_of_it_is_for_this_account_only(left: Left) -> None:
    home, _, _ = left
    given = {home.data, home.data / "budgets.toml"}
    made = [path for path in home.data.rglob("*") if path not in given and not path.is_symlink()]
    modes = {str(path.relative_to(home.data)): oct(path.stat().st_mode) for path in made}
    readable = {name: mode for name, mode in modes.items() if int(mode, 8) & 0o077}
    # Where we are root, PostgreSQL's account passes through the stack's folder, and nobody else.
    if os.geteuid() == 0 and readable.get("stack") == oct(0o40710):
        del readable["stack"]
    assert readable == {}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=u&password={}",
        "postgresql:///x?host=127.0.0.1&port=1&password={}",
        "host=127.0.0.1 port=1 password={}",
        "postgresql://u:{}@127.0.0.1:bad/x",
        "postgres://u:{}@x@127.0.0.1:1/x",
    ],
)
def test_an_error_quotes_no_secret(home: Home, url: str) -> None:
    secret = f"{MARK}pw"
    told = {"ADX_LAB_DATABASE_URL": url.format(secret)}
    for words, environ in (
        (("up", "--detach", "--debug"), told),
        (("plans", "--database", url.format(secret), "--debug"), {}),
        (("runs", "list", "--debug"), {"ADX_LAB_STORE_URL": url.format(secret)}),
    ):
        done = home.adx_lab(*words, environ=environ)
        assert MARK not in done.out + done.err, (words, done.err)
    assert not [p for p in home.data.rglob("*") if p.is_file() and MARK.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "url", [f"valkey://:{MARK}@127.0.0.1:1", f"foo://:{MARK}@h", f"valkey://h:1?password={MARK}"]
)
def test_what_a_core_says_of_its_valkey_quotes_no_secret(
    home: Home, environ: dict[str, str], url: str
) -> None:
    done = home.adx_lab("up", "--detach", "--debug", environ=environ | {"ADX_LAB_VALKEY_URL": url})
    home.adx_lab("down", environ=environ)
    assert MARK not in done.out + done.err
    assert not [p for p in home.data.rglob("*") if p.is_file() and MARK.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@127.0.0.1:1/x",
        "postgresql+asyncpg://127.0.0.1:1/x?user=u&password={}",
        "host=127.0.0.1 port=1 dbname=x password={}",
        "postgresql://u:{}%40@[::1]:1/x",
    ],
)
def test_what_is_described_holds_no_secret(home: Home, url: str) -> None:
    words = ("init", "--command", "true", "--database", url.format(MARK), "--debug")
    done = home.adx_lab(*words)
    assert done.code == 0, done.err
    assert MARK not in done.out + done.err
    assert "export" in done.out + done.err
    made = [path for path in home.path.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]
    assert made == []


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (("http://h:1+database=postgresql://u:{}@h/x", "http://h:2"), "http://h:1+database=postgresql://u:"),
        (("http://h:1/p+database=redis://:{}@h", "."), "http://h:1/p+database="),
        (("HEAD", ".+env.DB_PASSWORD={}+pool.max=5"), ".+env.DB_PASSWORD="),
        (("HEAD", ".+env.DATABASE_URL=postgresql://u:{}@h/x"), ".+env.DATABASE_URL=postgresql://u"),
    ],
)
def test_a_variant_is_kept_without_its_secret(words: tuple[str, str], quoted: str) -> None:
    shown = [shown_variant(word.format(MARK)) for word in words]
    assert MARK not in "".join(shown)
    assert any(text.startswith(quoted.removesuffix(":")) for text in shown)
