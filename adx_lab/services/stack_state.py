"""What the process that holds the stack tells the others, and where.

A state without a held lock is a dead predecessor's and counts for nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import valkey

from adx_lab.errors import StackError
from adx_lab.records.run import Target
from adx_lab.secrecy import shown_url
from adx_lab.services.starting.readiness import is_ready
from adx_lab.settings import Settings
from adx_lab.stack.locks import holder


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of the lab tells the others about the stack it holds."""

    holder_pid: int
    started_at: str
    base_url: str
    database_url: str
    valkey_url: str
    template: str | None
    sample_file: str
    processes: dict[str, list[int]]
    logs: str
    cache_trace: str | None = None
    service: str = ""
    ready: str = "/"
    metrics_url: str | None = None

    def target(self) -> Target:
        """Return what a load is sent to."""
        return Target(self.base_url, self.database_url or None, self.valkey_url or None, self.metrics_url)


_PING_S = 2.0


def logs_dir(settings: Settings) -> Path:
    """Return the folder with what every child printed."""
    return settings.stack_dir / "logs"


def sample_file(settings: Settings) -> Path:
    """Return the file that tells the load whom to log in as and what to ask for."""
    return settings.stack_dir / "sample.json"


def lock_file(settings: Settings) -> Path:
    """Return the file that whoever holds the stack has locked."""
    return settings.stack_dir / "stack.lock"


def state_file(settings: Settings) -> Path:
    """Return the file with the state."""
    return settings.stack_dir / "state.json"


def holder_pid(settings: Settings) -> int | None:
    """Return the process that holds this checkout's stack, or None."""
    return holder(lock_file(settings))


def read_state(settings: Settings) -> StackState | None:
    """Return the state of the stack that some process holds just now, or None."""
    if holder_pid(settings) is None:
        return None
    try:
        state = msgspec.json.decode(state_file(settings).read_bytes(), type=StackState)
    except FileNotFoundError:
        return None  # held, but still starting or already stopping
    except msgspec.MsgspecError as error:
        raise StackError(f"{state_file(settings)} is damaged: {error}", mend="run adx-lab down") from error
    return _with_passwords(state, settings)


def health(state: StackState) -> dict[str, object]:
    """Return the stack's URLs, processes and whether the core is ready, as ``status`` prints it."""
    return {
        "status": _status(state),
        **msgspec.to_builtins(state),
        "database_url": shown_url(state.database_url),
        "valkey_url": shown_url(state.valkey_url),
        "docs_url": f"{state.base_url}/docs",
    }


def _status(state: StackState) -> str:
    if not is_ready(state.base_url, state.ready):
        return "unready"
    if "valkey" not in state.processes and state.valkey_url and not _answers(state.valkey_url):
        return "degraded: the external Valkey does not answer"
    return "up"


def _answers(valkey_url: str) -> bool:
    try:
        with valkey.Valkey.from_url(
            valkey_url, socket_timeout=_PING_S, socket_connect_timeout=_PING_S
        ) as client:
            return bool(client.ping())
    except (valkey.ValkeyError, ValueError, OSError):
        return False


def _with_passwords(state: StackState, settings: Settings) -> StackState:
    """Return the state with the URLs of external servers whole: no file holds a password."""
    known = {
        shown_url(section.url): section.url for section in (settings.database, settings.valkey) if section.url
    }
    return msgspec.structs.replace(
        state,
        database_url=known.get(state.database_url, state.database_url),
        valkey_url=known.get(state.valkey_url, state.valkey_url),
    )
