"""What Locust takes besides its command line: its own files, and variables of the environment.

They reach a load that the lab starts as they reach any other, so that they have to be told with it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adx_lab.errors import UsageError

_FILES = ("~/.locust.conf", "locust.conf")
_VARIABLES = "LOCUST_"
_OURS = frozenset({"LOCUST_HOST"})
"""The lab sets it itself, whatever it was."""

_INSTEAD = {
    "--users of adx-lab": ("-u", "--users"),
    "--spawn-rate of adx-lab": ("-r", "--spawn-rate"),
    "--duration of adx-lab": ("-t", "--run-time"),
    "--url of adx-lab": ("-H", "--host"),
    "--locustfile of adx-lab": ("-f", "--locustfile"),
    "--workers of adx-lab": ("--processes",),
    "--expect-workers and --bind of adx-lab": (
        *("--master", "--expect-workers", "--expect-workers-max-wait"),
        *("--master-bind-host", "--master-bind-port"),
    ),
    "--master of adx-lab": ("--worker", "--master-host", "--master-port"),
    "adx-lab ui": ("--headful", "--autostart", "--autoquit", "--web-host", "-P", "--web-port"),
    "adx-lab load": ("--headless",),
    "python -m locust, which makes no load then": (
        *("-l", "--list", "-h", "--help", "-V", "--version", "--show-task-ratio", "--show-task-ratio-json"),
    ),
    "the log of the load": ("--logfile", "--skip-log-setup"),
    "the exit code of adx-lab": ("--exit-code-on-error",),
}
"""What of Locust's own options is the lab's to say, and how it is said."""

_OPTION = re.compile(r"(?<![\w-])--[\w-]+")


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


def refuse_the_labs(words: Sequence[str]) -> None:
    """Return where none of somebody's words for Locust is about what the lab decides.

    Raises
    ------
    UsageError
        One is.
    """
    for word in words:
        for instead, flags in _INSTEAD.items():
            if any(_is(word, flag) for flag in flags):
                raise UsageError(f"{word} is not Locust's to be told behind --", mend=f"take {instead}")


def _is(word: str, flag: str) -> bool:
    if flag.startswith("--"):
        return word.partition("=")[0] == flag
    return word.startswith(flag)  # a short one may have its value at its heels


def source_of(words: str, given: Sequence[str], environ: Mapping[str, str], folder: Path) -> str | None:
    """Return which file or variable gave Locust an option that it refuses; None where the command line did.

    Parameters
    ----------
    words
        What Locust's parser says.
    given
        The command line's own words for it.
    """
    options = [
        option for option in _OPTION.findall(words) if not any(word.startswith(option) for word in given)
    ]
    for option in options:
        name = option.removeprefix("--")
        variable = f"{_VARIABLES}{name.replace('-', '_').upper()}"
        if variable in environ:
            return variable
        for file in _FILES:
            path = folder / Path(file).expanduser()
            if path.is_file() and re.search(
                rf"^\s*(--)?{re.escape(name)}\b", path.read_text("utf-8", "replace"), re.MULTILINE
            ):
                return file
    return None
