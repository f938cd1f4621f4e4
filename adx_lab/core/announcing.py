"""Telling whoever started a process that it is ready: a file that appears whole."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from adx_lab.core.settings import Settings


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
