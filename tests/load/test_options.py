"""What is asked of a load on the command line or in the project file is done, or refused; never ignored."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adx_lab.errors import StackError, UsageError
from adx_lab.load.order import LoadOrder
from adx_lab.load.process.refusing import refuse_what_it_takes_not
from adx_lab.load.starting.defaults import taken_besides
from adx_lab.load.starting.reachable import check_reachable
from adx_lab.services.starting.start import tls_context
from adx_lab.settings import read_settings
from adx_lab.store.folders import StoredRun, open_run
from tests.conftest import Finished, Home

THEIRS = """
from locust import HttpUser, constant, events, tag, task

@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--account", default="nobody")

class Clerk(HttpUser):
    wait_time = constant(0.05)

    @tag("read")
    @task
    def look(self):
        self.client.get(f"/look/{self.environment.parsed_options.account}", name="/look")

    @tag("write")
    @task
    def change(self):
        self.client.post("/change")
"""


class Answering(BaseHTTPRequestHandler):
    """Answers everything, and says how long it took."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Server-Timing", "total;dur=1.5, db;dur=0.5")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_HEAD = do_GET  # noqa: N815  # the base class calls them so

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Shop(ThreadingHTTPServer):
    """A service on a free port of this machine."""

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen: list[str] = []
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def serve(self) -> Iterator[Shop]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        yield self
        self.shutdown()
        thread.join()
        self.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    yield from Shop().serve()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that its own key has signed, for 127.0.0.1."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    words = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subject = ("-subj", "/CN=shop.test", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", *words, *subject, "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def tls_shop(certificate: Path) -> Iterator[Shop]:
    yield from Shop(certificate).serve()


def project(home: Home, url: str, more: str = "", load: str = "") -> None:
    (home.path / "theirs.py").write_text(THEIRS)
    text = (
        f'data = "data"\n[service]\nname = "shop"\nurl = "{url}"\n{more}\n[load]\nlocustfile = "theirs.py"\n'
    )
    (home.path / "adx-lab.toml").write_text(text + load)


def loaded(home: Home, *words: str) -> tuple[Finished, StoredRun]:
    done = home.adx_lab("load", "--duration", "1.5", "--warmup", "0.3", "--json", *words)
    assert done.code in {0, 4}, done.err  # other programs of this machine make a load invalid
    return done, open_run(read_settings({}, {"home": str(home.path)}).runs_dir, done.json()["run_id"])


def endpoints(run: StoredRun) -> set[str]:
    return set(run.table("samples")["endpoint"])


def test_tags_and_the_files_own_options_reach_locust(home: Home, shop: Shop) -> None:
    project(home, f"http://127.0.0.1:{shop.server_port}")
    _, run = loaded(home, "--users", "3", "--spawn-rate", "30", "--tags", "read", "--", "--account", "x9")
    assert endpoints(run) == {"GET /look"}
    assert "/look/x9" in shop.seen
    assert max(count for _, count in run.record.load.users) == 3


def test_the_project_file_says_it_as_well_and_timing_none_is_obeyed(home: Home, shop: Shop) -> None:
    url, more = f"http://127.0.0.1:{shop.server_port}", 'timing = "none"'
    said = 'tags = ["write"]\narguments = ["--account", "y"]\nusers = 2\nspawn_per_s = 20\n'
    project(home, url, more, said)
    _, run = loaded(home)
    assert endpoints(run) == {"POST /change"}
    assert run.table("samples")["server_ms"].isna().all()
    project(home, url)
    _, run = loaded(home)
    assert run.table("samples")["server_ms"].median() == pytest.approx(1.5)


def test_self_signed_certificates_are_trusted_where_the_project_file_says_so(
    home: Home, tls_shop: Shop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a company's machines have set, and `requests` believes more than a session.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    url = f"https://127.0.0.1:{tls_shop.server_port}"
    project(home, url)
    refused = home.adx_lab("load", "--duration", "1")
    assert refused.code == 4
    assert "service.verify_tls" in refused.error_lines[0]
    project(home, url, "verify_tls = false")
    _, run = loaded(home)
    assert run.record.load.failures == ()
    (home.path / "own.crt").write_text(Path(f"{certificate}.crt").read_text())
    project(home, url, 'ca = "own.crt"')
    _, run = loaded(home)
    assert run.record.load.failures == ()


def test_a_ca_that_is_none_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "adx-lab.toml"
    file.write_text('[service]\nname = "s"\nurl = "https://127.0.0.1:1"\nca = "gone.pem"\n')
    settings = read_settings({}, {"home": str(tmp_path)})
    with pytest.raises(UsageError, match=r"service\.ca is .*gone\.pem"):
        tls_context(settings.service, "https://127.0.0.1:1")


def test_an_untrusted_certificate_says_how_to_trust_it(tls_shop: Shop) -> None:
    with pytest.raises(StackError, match=r"service\.ca"):
        check_reachable(f"https://127.0.0.1:{tls_shop.server_port}")


class Open:
    """A scenario that sends a schedule."""

    load_kind, takes = "open", frozenset({"rate_per_s", "replay_file"})


class Crowd:
    """A scenario of users who think."""

    load_kind, takes = "crowd", frozenset({"users", "spawn_per_s"})


class Plain:
    """Somebody's users, sent by a schedule."""

    load_kind, takes = "open", frozenset({"rate_per_s", "users"})


@pytest.mark.parametrize(
    ("scenario", "given", "replay", "said"),
    [
        (Open, ("users",), None, "--users"),
        (Open, ("spawn_per_s",), None, "--spawn-rate"),
        (Open, ("rate_per_s", "duration_s"), "r", None),
        (Crowd, ("rate_per_s",), None, "--rate"),
        (Crowd, ("users", "spawn_per_s"), None, None),
        (Crowd, (), "r", "--replay"),
        (Plain, ("rate_per_s", "users"), None, None),
        (Plain, ("rate_per_s", "spawn_per_s"), None, "--spawn-rate"),
        (Plain, ("rate_per_s",), "r", "--replay"),
        (None, ("users", "spawn_per_s"), None, None),
        (None, (), "r", "--replay"),
    ],
)
def test_what_a_load_takes(
    scenario: Any, given: tuple[str, ...], replay: str | None, said: str | None
) -> None:
    order = LoadOrder(raw_dir="", scenario="s", given=given, replay_file=replay)
    if said is None:
        refuse_what_it_takes_not(order, scenario)
        return
    with pytest.raises(UsageError, match=said):
        refuse_what_it_takes_not(order, scenario)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mixed", "--users", "5"), "--users says nothing to it"),
        (("mixed", "--tags", "read"), "it has no tags"),
        (("mixed", "--", "--account", "x"), "it has no arguments"),
        (("--locustfile", "theirs.py", "--replay", "RUN"), "--replay says nothing to it"),
    ],
)
def test_what_it_does_not_take_is_one_line(home: Home, shop: Shop, words: tuple[str, ...], said: str) -> None:
    url = f"http://127.0.0.1:{shop.server_port}"
    project(home, url)
    if "RUN" in words:
        done, _ = loaded(home)
        words = tuple(done.json()["run_id"] if word == "RUN" else word for word in words)
    refused = home.adx_lab("load", *words, "--url", url, "--duration", "1")
    assert refused.code == 2, refused.err
    (line,) = refused.error_lines
    assert said in line


def test_what_locust_takes_besides_is_told(tmp_path: Path) -> None:
    assert taken_besides({"LOCUST_HOST": "x", "PATH": "y"}, tmp_path) == ()
    (tmp_path / "locust.conf").write_text("users = 5\n")
    (tmp_path / "pyproject.toml").write_text("[tool.locust]\nusers = 4\n")
    told = taken_besides({"LOCUST_USERS": "3"}, tmp_path)
    assert told == ("locust.conf", "pyproject.toml [tool.locust]", "LOCUST_USERS")


def test_words_behind_two_dashes_are_refused_where_nobody_takes_them(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adx_lab.cli", "status", "--", "--users", "5"],
        cwd=home.path, env=home.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "status hands nothing to Locust" in done.stderr
