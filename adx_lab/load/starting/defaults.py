"""What Locust takes besides its command line: its own files, and variables of the environment.

They reach a load that the lab starts as they reach any other, so that they have to be told with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

_FILES = ("~/.locust.conf", "locust.conf")
_VARIABLES = "LOCUST_"
_OURS = frozenset({"LOCUST_HOST"})
"""The lab sets it itself, whatever it was."""


def taken_besides(environ: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Return the files and variables from which a Locust that starts here takes options, by their names."""
    return (
        *_files(folder),
        *sorted(name for name in environ if name.startswith(_VARIABLES) and name not in _OURS),
    )


def _files(folder: Path) -> Iterator[str]:
    for name in _FILES:
        if (folder / Path(name).expanduser()).is_file():
            yield name
    try:
        document = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or not one that Locust could read
        return
    if document.get("tool", {}).get("locust"):
        yield "pyproject.toml [tool.locust]"
