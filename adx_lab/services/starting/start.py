"""Any service as the lab's own: started as its project file says, ready by its own word, stopped whole."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from adx_lab.errors import StackError, UsageError, nearest
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.secrecy import remember, remember_url
from adx_lab.services.starting.readiness import is_ready, why_unready
from adx_lab.settings import DatasetSettings, ServiceSettings

KEEPER = Path(__file__).with_name("keep.py")
STACK_MARK = "ADX_STACK"
"""The variable that tells, in all that a keeper keeps, for which stack it runs."""

_PORT_TRIES = 3
_GRACE_S = 12.0
_TAKEN = re.compile(r"address (?:is )?already in use|EADDRINUSE|port is already allocated", re.IGNORECASE)
_WORD = re.compile(r"(?<!\$)\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class StartOrder:
    """All that a service, its data or one of its other commands is started with.

    Attributes
    ----------
    name
        Tells variants apart in logs, in Valkey's keys and in the folders of their files.
    source
        The tree whose service runs.
    traced
        Whether it traces its cache; older variants may not know how.
    """

    name: str
    service: ServiceSettings
    source: Path
    stack_dir: Path
    database_url: str = ""
    valkey_url: str = ""
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    traced: bool = False

    @property
    def folder(self) -> Path:
        """Where the service may keep files of its own."""
        return self.stack_dir / "files" / self.name

    @property
    def trace_file(self) -> Path:
        """The file of the cache's look-ups."""
        return self.stack_dir / f"cache-trace-{self.name}.bin"

    def ready_file(self, role: str = "service") -> Path:
        """Return the file in which a process of the service may say that it is ready."""
        return self.stack_dir / f"{role}-{self.name}.json"

    def words(self, role: str = "service", **more: object) -> dict[str, str]:
        """Return what stands for each ``{word}`` of the project file."""
        start = self.service.start
        own = {
            "host": start.host,
            "port": start.port,
            "workers": start.workers,
            "database_url": self.database_url,
            "database": self.database_url.partition("://")[2],
            "valkey_url": self.valkey_url,
            "python": sys.executable,
            "source": self.source,
            "name": self.name,
            "folder": self.folder,
            "ready_file": self.ready_file(role),
            "trace_file": self.trace_file,
            "switches_off": start.switches_off,
            "scale": self.dataset.scale,
            "seed": self.dataset.seed,
        }
        return {name: str(value) for name, value in {**own, **more}.items()}

    def environ(self, role: str = "service", **more: object) -> dict[str, str]:
        """Return the whole environment of a process of the service."""
        start, words = self.service.start, self.words(role, **more)
        own = {name: filled(value, words, name) for name, value in start.env.items()}
        if self.traced and role == "service":
            own |= {name: filled(value, words, name) for name, value in start.trace_env.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADX_")}
        # The source tree goes first on the path, before whatever is installed; other languages don't mind.
        places = [str(place) for place in (self.source, self.source / "src") if place.is_dir()]
        tools = [str(self.source / place) for place in (".venv/bin", "node_modules/.bin")]
        path = os.pathsep.join([*(tool for tool in tools if Path(tool).is_dir()), inherited.get("PATH", "")])
        return (
            inherited | {"PYTHONPATH": os.pathsep.join(places), "PYTHONUNBUFFERED": "1", "PATH": path} | own
        )


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs."""

    child: Child
    url: str
    order: StartOrder

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that the command and what it started are just now, without their two keepers."""
        try:
            keepers = psutil.Process(self.child.pid).children()
            return tuple(one.pid for keeper in keepers for one in keeper.children(recursive=True))
        except psutil.NoSuchProcess:
            return ()

    async def stop(self) -> None:
        """Let it finish what it serves, then stop all of it."""
        await stop_child(self.child, grace_s=_GRACE_S)
        self.order.ready_file().unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Beside:
    """A further process of a service that runs."""

    child: Child
    name: str
    order: StartOrder

    async def stop(self) -> None:
        """Stop all of it."""
        await stop_child(self.child, grace_s=_GRACE_S)
        self.order.ready_file(self.name).unlink(missing_ok=True)


async def start_service(order: StartOrder, *, log: Path, former_port: int = 0) -> Running:
    """Start a service on its port, or on a free one, and wait until it says that it is ready.

    One that is started again gets its former port, if nobody has it now: who talked to it does so still.

    Raises
    ------
    UsageError
        It refused its settings (it ended with status 2).
    StackError
        It died or did not get ready; the message quotes its log.
    """
    for left in reversed(range(_PORT_TRIES)):
        try:
            return await _start_once(order, log, former_port)
        except StackError:
            former_port = 0
            # Between choosing a free port and its use somebody else may take it.
            if not left or order.service.start.port or not _TAKEN.search(_read(log)):
                raise
    raise AssertionError


async def _start_once(order: StartOrder, log: Path, former_port: int) -> Running:
    start = order.service.start
    port = start.port or former_port or free_port(start.host)
    ready_file = order.ready_file()
    ready_file.unlink(missing_ok=True)
    order.folder.mkdir(parents=True, exist_ok=True)
    child = run_command(order, "service", start.command, log=log, port=port)
    url = f"http://{start.host}:{port}"

    def ready() -> bool:
        return (not start.ready_file or ready_file.exists()) and is_ready(url, start.ready)

    try:
        await _await(child, ready, seconds=start.ready_s, log=log, why=lambda: why_unready(child, url, start))
    except StackError as error:
        if child.process.poll() != 0 or error.mend:
            raise
        raise StackError(error.message, mend="its command has to stay in the foreground", log=log) from error
    return Running(child, url, order)


async def start_beside(order: StartOrder, name: str, *, log: Path) -> Beside:
    """Start a further process of a service and wait until it is ready, where it says so.

    Raises
    ------
    StackError
        It died or did not get ready; the message quotes its log.
    """
    start = order.service.start
    ready_file = order.ready_file(name)
    ready_file.unlink(missing_ok=True)
    child = run_command(order, name, start.beside[name], log=log)
    await _await(child, lambda: not start.ready_file or ready_file.exists(), seconds=start.ready_s, log=log)
    return Beside(child, name, order)


async def run_to_end(
    order: StartOrder, role: str, command: str, *, log: Path, seconds: float = 600.0, **more: object
) -> None:
    """Run one of a service's other commands to its end.

    Raises
    ------
    UsageError
        It refused its settings or its arguments (it ended with status 2).
    StackError
        It failed; the message quotes its log.
    """
    child = run_command(order, role, command, log=log, **more)
    try:
        await wait_until_ready(child, lambda: child.process.poll() == 0, seconds=seconds)
    except StackError as error:
        if child.process.poll() == UsageError.exit_code:
            raise _refused(role, log) from error
        if child.process.poll() != 0:
            raise
    finally:
        await stop_child(child, grace_s=_GRACE_S)


def run_command(order: StartOrder, role: str, command: str, *, log: Path, **more: object) -> Child:
    """Start one of a service's commands in its source, with all it prints in ``log``."""
    words = {name: shlex.quote(value) for name, value in order.words(role, **more).items()}
    line = filled(command, words, role)
    environ = order.environ(role, **more) | {STACK_MARK: str(order.stack_dir)}
    return start_child(
        role, [sys.executable, "-I", "-S", KEEPER, line], log=log, environ=environ, cwd=order.source
    )


def filled(text: str, words: Mapping[str, str], where: str) -> str:
    """Return a text of the project file with its ``{words}`` filled in, and ``$NAME`` from the environment.

    Raises
    ------
    UsageError
        Nobody knows such a word, or the environment has no such variable.
    """
    text = expanded(text, where)
    for unknown in {word for word in _WORD.findall(text) if word not in words}:
        meant = nearest(f"{{{unknown}}}", [f"{{{word}}}" for word in words])
        if meant.startswith("did you"):  # any other word in braces can be the shell's, or a program's own
            raise UsageError(f"{where} of the project file says {{{unknown}}}", mend=meant)
    return _WORD.sub(lambda found: words.get(found[1], found[0]), text)


def expanded(text: str, where: str = "the project file") -> str:
    """Return a text, or the variable of the environment that it names as ``$NAME``, for secrets.

    Raises
    ------
    UsageError
        The environment has no such variable.
    """
    if not (text.startswith("$") and text[1:].isidentifier()):
        return text
    if text[1:] not in os.environ:
        raise UsageError(f"{where} needs {text}, and it is not set", mend=f"export {text[1:]}=…")
    value = os.environ[text[1:]]
    remember(value)
    remember_url(value)  # a driver quotes of a URL what it likes
    return value


def wanted(service: ServiceSettings, word: str) -> bool:
    """Tell whether a service's description asks for a word, such as ``database``."""
    start = service.start
    texts: Iterator[str] = iter((start.command, *start.env.values(), *start.beside.values()))
    return any(f"{{{word}" in text for text in texts)


def tls_context(service: ServiceSettings, url: str) -> ssl.SSLContext | None:
    """Return how a service's certificate is looked at, as its project file says; None without TLS.

    Raises
    ------
    UsageError
        The file of ``service.ca`` holds no certificate.
    """
    if not url.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=service.ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"service.ca is {service.ca}, which can't be read as a certificate: {error}",
            mend="name a file in PEM format",
        ) from error
    if not service.verify_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of this machine that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def forget_files(order: StartOrder) -> None:
    """Remove the files that a service kept."""
    shutil.rmtree(order.folder, ignore_errors=True)


async def _await(
    child: Child,
    ready: Callable[[], bool],
    *,
    seconds: float,
    log: Path,
    why: Callable[[], str] = str,
) -> None:
    try:
        await wait_until_ready(child, ready, seconds=seconds)
    except StackError as error:
        refused = child.process.poll() == UsageError.exit_code
        if child.alive:
            error.mend = await asyncio.to_thread(why) or None
        await stop_child(child, grace_s=_GRACE_S)
        if refused:
            raise _refused(child.role, log) from error
        raise
    except (Exception, asyncio.CancelledError, KeyboardInterrupt):
        await stop_child(child, grace_s=_GRACE_S)
        raise


def _refused(role: str, log: Path) -> UsageError:
    lines = [line for line in _read(log).splitlines() if line.strip()]
    return UsageError(f"the {role} refused: {lines[-1].strip() if lines else 'it said nothing'}", log=log)


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
