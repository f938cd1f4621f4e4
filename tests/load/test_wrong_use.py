"""What can't be loaded is told in one line, with an exit code that says whose turn it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Finished, Home
from tests.load.conftest import TruthServer

USER = """
from locust import HttpUser, events, task
class U(HttpUser):
    @task
    def go(self): self.client.get("/")
"""
NEEDS = (
    USER
    + """
@events.init_command_line_parser.add_listener
def _(parser): parser.add_argument("--tenant-id", required=True)
"""
)
LISTENS = f"""from locust import events
import os
@events.init.add_listener
def _(**_):
    os.environ["HOME2"]
{USER}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def one_line(done: Finished, code: int) -> str:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    (line,) = done.error_lines
    return line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module\n", "no_such_module"),
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('not today')\n", "not today"),
        ("x = 1\n", "no User class"),
        ("import sys\nsys.exit('no token')\n", "no token (theirs.py, line 2)"),
        ("import sys\nsys.exit(3)\n", "sys.exit(3) (theirs.py, line 2)"),
        (NEEDS, "required: --tenant-id; give them behind --"),
        (LISTENS, "KeyError: 'HOME2' (theirs.py, line 5)"),
    ],
)
def test_a_locustfile_that_is_none(
    home: Home, truth_server: TruthServer, tmp_path: Path, text: str, said: str
) -> None:
    theirs = tmp_path / "theirs.py"
    theirs.write_text(text)
    done = home.adx_lab("load", "--locustfile", str(theirs), "--url", truth_server.url)
    assert said in one_line(done, 2)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("mixed", "--duration", "0"), 2, "--duration"),
        (("mixed", "--rate", "-1"), 2, "--rate"),
        (("mixed", "--users", "0"), 2, "--users"),
        (("mixed", "--workers", "0"), 2, "--workers"),
        (("mixed", "--warmup", "-2"), 2, "--warmup"),
        (("mixd",), 2, "did you mean mixed"),
        ((), 2, "name a scenario"),
        (("mixed", "--url", "ftp://somewhere"), 2, "is no address of HTTP"),
        (("mixed", "--url", "http://127.0.0.1:nine"), 2, "is not a URL"),
        (("--locustfile", "nowhere.py", "--url", "http://127.0.0.1:9"), 2, "no locustfile"),
    ],
)
def test_wrong_words(home: Home, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in one_line(home.adx_lab("load", *words), code)
    assert not (home.data / "runs").exists()


def test_a_path_that_locust_would_cut_in_two(home: Home) -> None:
    (home.path / "a,b.py").write_text(USER)
    done = home.adx_lab("load", "--locustfile", str(home.path / "a,b.py"), "--url", "http://127.0.0.1:9")
    assert "has a comma" in one_line(done, 2)


def test_a_url_that_refuses(home: Home) -> None:
    done = home.adx_lab("load", "mixed", "--url", f"http://127.0.0.1:{free_port()}")
    assert "nobody answers" in one_line(done, 4)


def test_a_service_that_lets_nobody_in(home: Home, truth_server: TruthServer, tmp_path: Path) -> None:
    sample = tmp_path / "sample.json"
    sample.write_text(
        '{"password": "x", "tenants": [{"id": "t", "user_count": 1, "file_ids": [],'
        ' "users": [{"id": "u", "email": "a@b", "role": "admin"}]}]}'
    )
    done = home.adx_lab("load", "users", "--url", truth_server.url, "--sample", str(sample))
    assert "the login of a@b" in one_line(done, 2)


@pytest.mark.parametrize("text", ["", "{", '{"tenants": []}', "[]"])
def test_a_sample_that_is_none(home: Home, truth_server: TruthServer, tmp_path: Path, text: str) -> None:
    sample = tmp_path / "sample.json"
    sample.write_text(text)
    done = home.adx_lab("load", "users", "--url", truth_server.url, "--sample", str(sample))
    assert "sample.json" in one_line(done, 2)


def test_the_lab_itself_is_never_patched_by_gevent() -> None:
    code = "import sys, adx_lab, adx_lab.conduct.nights.night; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
