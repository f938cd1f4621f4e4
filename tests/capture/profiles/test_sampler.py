"""Real processes are sampled, and the one function that computes more is named."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.comparison import compare_functions, function_findings
from adx_lab.analysis.functions.sources import lines_differ
from adx_lab.analysis.functions.stacks import OUTSIDE, Function, StackProfile, costs_of
from adx_lab.capture.database.companions import with_children
from adx_lab.capture.profiles.permission import why_not
from adx_lab.capture.profiles.sampler import Sampled, Sampler, cpu_us_of
from adx_lab.errors import MeasurementError, UsageError
from adx_lab.services.starting.start import free_port

SERVICE = """\
import json
import mmap
import struct
import sys


def small():
    return sum(range(300))


def encode():
    return json.dumps(list(range({numbers})))


def handle():
    small()
    encode()


file = open(sys.argv[1], "r+b")
answered = mmap.mmap(file.fileno(), 8)
for count in range(100_000_000):
    handle()
    struct.pack_into("q", answered, 0, count)
"""


@contextmanager
def running(folder: Path, numbers: int) -> Iterator[int]:
    folder.mkdir(exist_ok=True)
    (folder / "service.py").write_text(SERVICE.format(numbers=numbers))
    (folder / "answered").write_bytes(bytes(8))
    command = [sys.executable, str(folder / "service.py"), str(folder / "answered")]
    with other_process(*command) as pid:
        yield pid


@contextmanager
def other_process(*command: str) -> Iterator[int]:
    with subprocess.Popen(command) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def answered(folder: Path) -> int:
    return int.from_bytes((folder / "answered").read_bytes(), sys.byteorder)


async def sampled(pids: dict[str, list[int]], seconds: float) -> dict[str, Sampled]:
    sampler = Sampler(rate_per_s=400)
    sampler.start(pids, seconds=seconds)
    await asyncio.sleep(seconds)
    return sampler.stop()


needs_sampling = pytest.mark.skipif(why_not() is not None, reason=f"{why_not()}")


@needs_sampling
async def test_the_function_that_computes_more_is_named(tmp_path: Path) -> None:
    roots = {"base": tmp_path / "base", "head": tmp_path / "head"}
    blocks: list[tuple[StackProfile, StackProfile]] = []
    findings: tuple[Finding, ...] = ()
    with running(roots["base"], 200) as base, running(roots["head"], 1000) as head:
        await asyncio.sleep(0.3)
        texts = [(root / "service.py").read_text() for root in roots.values()]
        # A machine that others use gives few samples a block: more blocks, until they tell.
        while not findings and len(blocks) < 60:
            for _ in range(10):
                before = {side: answered(root) for side, root in roots.items()}
                seen = await sampled({"base": [base], "head": [head]}, 0.4)
                pair = [
                    one.profile(answered(roots[side]) - before[side], roots[side])
                    for side, one in seen.items()
                ]
                blocks.append((pair[0], pair[1]))
            findings = function_findings(
                compare_functions(blocks), lambda one: lines_differ(one.name, texts[0], texts[1])
            )
    assert findings[0].subject == "encode"
    assert findings[0].evidence["file"] == "service.py"
    assert findings[0].evidence["line"] == 12
    assert findings[0].evidence["lines_differ"] is True
    assert len(findings) == 1


@needs_sampling
async def test_what_sampling_costs_is_told(tmp_path: Path) -> None:
    with running(tmp_path, 20) as pid:
        await asyncio.sleep(0.3)
        seen = (await sampled({"base": [pid]}, 1.0))["base"]
    assert sum(seen.stacks.values()) > 50
    assert 0 < seen.sampler_cpu_us < seen.cpu_us
    assert seen.cpu_us > 1e5
    assert cpu_us_of(pid) == 0


@needs_sampling
async def test_a_process_that_is_no_python_is_told_in_one_line() -> None:
    with other_process("sleep", "30") as pid:
        sampler = Sampler()
        sampler.start({"base": [pid]}, seconds=1)
        await asyncio.sleep(1.5)
        with pytest.raises(MeasurementError, match=f"process {pid} can't be sampled"):
            sampler.stop()


@needs_sampling
async def test_a_shell_around_the_service_does_not_matter(tmp_path: Path) -> None:
    with running(tmp_path, 20) as pid, other_process("sleep", "30") as shell:
        await asyncio.sleep(0.3)
        seen = (await sampled({"base": [shell, pid]}, 1.0))["base"]
    assert sum(seen.stacks.values()) > 50
    assert seen.idle == {shell}


async def test_a_command_prints_the_stacks_of_any_language(tmp_path: Path) -> None:
    script = tmp_path / "stacks.sh"
    script.write_text('echo "main;handle (src/main.rs:7) $1"; exec sleep 30\n')
    with other_process("sleep", "30") as pid:
        sampler = Sampler(command=f"sh {script} {{rate}}")
        sampler.start({"base": [pid]}, seconds=1)
        await asyncio.sleep(0.5)
        (stack,) = (sampler.stop())["base"].stacks
    assert [frame.name for frame in stack] == ["main", "handle"]
    assert stack[-1].file == "src/main.rs"


async def test_a_command_that_is_wrong_is_refused() -> None:
    sampler = Sampler(command="no-such-program {pid}")
    with pytest.raises(UsageError, match="no-such-program"):
        sampler.start({"base": [1]}, seconds=1)
    sampler.close()


def test_a_machine_that_lets_nobody_look_says_how_to_mend_it(tmp_path: Path) -> None:
    scope, status = tmp_path / "scope", tmp_path / "status"
    for text, capabilities, expected in (
        ("0", "0", None),
        ("1", "0", "ptrace_scope is 1; sudo sysctl kernel.yama.ptrace_scope=0"),
        ("2", f"{1 << 19:x}", None),
        ("3", f"{1 << 19:x}", "lets nobody look"),
    ):
        scope.write_text(f"{text}\n")
        status.write_text(f"CapEff:\t{capabilities}\n")
        said = why_not(scope, status)
        assert (said is None) == (expected is None)
        assert expected is None or expected in str(said)
    assert why_not(tmp_path / "none", status) is None


async def test_a_profile_without_the_process_that_computes_is_none(tmp_path: Path) -> None:
    script = tmp_path / "stacks.py"
    script.write_text(
        "import sys\nif sys.argv[1] == sys.argv[2]:\n    sys.exit('Error: no access')\nprint('main 1')\n"
    )
    with running(tmp_path / "busy", 100) as busy, other_process("sleep", "60") as idle:
        sampler = Sampler(f"{sys.executable} {script} {{pid}} {busy}")
        sampler.start({"head": [idle, busy]}, seconds=1)
        await asyncio.sleep(1)
        with pytest.raises(MeasurementError, match=f"process {busy} can't be sampled"):
            sampler.stop()
        sampler = Sampler(f"{sys.executable} {script} {{pid}} {idle}")
        sampler.start({"head": [idle, busy]}, seconds=1)
        await asyncio.sleep(1)
        assert (sampler.stop())["head"].stacks


ASGI = """\
import time


def work():
    until = time.thread_time() + 0.001
    while time.thread_time() < until:
        pass


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for answer in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{answer}.complete"})
        return
    work()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@needs_sampling
def test_a_server_with_threads_of_another_language_is_sampled(tmp_path: Path) -> None:
    # Granian forks its workers, and drives Python from Rust's threads: those have stacks without frames.
    (tmp_path / "busy_app.py").write_text(ASGI)
    port = free_port()
    command = ["-m", "granian", "--interface", "asgi", "--port", str(port), "busy_app:app"]
    with subprocess.Popen([sys.executable, *command], cwd=tmp_path) as server:
        try:
            ask_for(port, 0.2, within_s=30)
            sampler = Sampler()
            sampler.start({"head": with_children([server.pid])}, seconds=2)
            answered = ask_for(port, 2.0)
            seen = sampler.stop()["head"]
        finally:
            server.terminate()
            server.wait(20)
    costs = costs_of(seen.profile(answered, tmp_path))
    # It computes for 1,000 µs; how long the server takes around it depends on who else is on the machine.
    assert costs[Function("work", "busy_app.py")].self_us > 300
    assert costs[OUTSIDE].self_us > 0
    assert seen.errors < sum(seen.stacks.values()) / 5


def ask_for(port: int, seconds: float, within_s: float = 0.0) -> int:
    """Ask as long as that; what is not up yet has a while to come up."""
    deadline, answered = time.monotonic() + within_s, 0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"ok"
                answered += 1
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return answered
        finally:
            connection.close()
