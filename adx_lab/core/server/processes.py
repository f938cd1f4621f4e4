"""What ties the core's processes together: none outlives its parent, each tells when it is ready."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from adx_lab.core.settings import Settings

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends (Linux).

    ``parent`` is the expected parent: it may have died before the request was made.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def core_version() -> str:
    """Return the installed version."""
    try:
        return version("adx-lab")
    except PackageNotFoundError:
        return "0"


def announce(settings: Settings, document: dict[str, object]) -> None:
    """Write a document, with the version, into the file that ``ADX_CORE_ANNOUNCE`` names, if it does."""
    if not settings.announce:
        return
    path = Path(settings.announce)
    partial_path = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial_path.write_bytes(msgspec.json.encode(document | {"version": core_version()}))
    partial_path.replace(path)
