"""The command line: one file a verb, and the one place where an error becomes a line and an exit code.

Exit codes: 0 pass; 1 regressed or over budget; 2 wrong use or wrong configuration; 3 undecided; 4
invalid: it could not be measured. Verbs are loaded when they are called, so that ``--help`` never waits for
pandas.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
import traceback
from types import FrameType

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError

from adx_lab.cli.checks import check_whole
from adx_lab.cli.console import LOCUST_WORD, say_error
from adx_lab.cli.help_text import example, flatten_docstrings
from adx_lab.errors import AdxLabError, UsageError
from adx_lab.files import keep_private
from adx_lab.secrecy import scrub

VERBS = {
    "init": ("stack.init:run", "Describe a service of your own: make its project file."),
    "doctor": ("stack.doctor:run", "Check machine, limits and dependencies, and say how to mend each thing."),
    "up": ("stack.up:run", "Start the stack: PostgreSQL, Valkey, the core."),
    "down": ("stack.down:run", "Stop the stack."),
    "status": ("stack.status:run", "Show the stack's URLs and health."),
    "load": ("measure.load:run", "Make one recorded headless load run."),
    "ui": ("measure.ui:run", "Serve the Locust web page with the lab's tab, on this machine only."),
    "lab": (
        "stack.lab:run",
        "Open JupyterLab on the notebooks, with the stack up and Locust in the launcher.",
    ),
    "duet": ("measure.duet:run", "Compare two variants: both up at once, the same requests to both."),
    "bisect": (
        "measure.bisect:run",
        "Find the first slow commit: duets of a good one against those after it.",
    ),
    "rules": (
        "measure.rules:run",
        "Switch the performance rules off one by one and measure what each is worth.",
    ),
    "nightly": ("measure.nightly:run", "Do everything: one verdict, one report, one exit code."),
    "plans": ("plans:app", "Capture query plans now, read any plan, compare two captures."),
    "statements": ("stored.statements:run", "Show what the database was asked: calls, ms, pages, by whom."),
    "calibrate": ("measure.calibrate:run", "Find out what this machine's verdicts are worth."),
    "verdict": ("stored.verdict:run", "Compute the verdict of a stored duet again."),
    "baseline": ("stored.baseline:app", "Set or show what the working tree is compared with."),
    "runs": ("stored.runs:app", "List, show or delete stored runs; look back at all of them; share them."),
    "report": ("stored.report:run", "Make the report of a stored run again."),
}
"""Where each verb is, and its one line of help, in the order in which they are used."""

_LOCUST_VERBS = frozenset({"load", "ui"})
_HELP = frozenset({"--help", "-h"})

app = App(
    name="adx-lab",
    help="Did the service get slower, where, and which query plan, cache layer or change did it?\n\n"
    "Begin with: adx-lab doctor; adx-lab load mixed --duration 20; adx-lab duet HEAD~1 . --profile quick",
    version_flags=["--version"],
    help_flags=sorted(_HELP),
    help_format="plaintext",
)
for _place, (_verb, (_where, _help)) in enumerate(VERBS.items()):
    _more = {"help_epilogue": example(_verb)} if _where.endswith(":run") else {}  # an app has its own
    app.command(f"adx_lab.cli.{_where}", name=_verb, help=_help, sort_key=_place, **_more)


def main() -> None:
    """Run the command line and exit with its code."""
    keep_private()
    _spare_this_machine_the_proxy()
    words = sys.argv[1:]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    sys.exit(_run(words, debug=debug))


def _with_locust_words(words: list[str]) -> list[str]:
    """Return a command line with what stands behind ``--`` as options: those of the locustfile."""
    if "--" not in words:
        return words
    if words[0] not in _LOCUST_VERBS:
        raise UsageError(f"{words[0]} hands nothing to Locust", mend="leave out what stands behind --")
    place = words.index("--")
    return [*words[:place], *(f"{LOCUST_WORD}={word}" for word in words[place + 1 :])]


def _spare_this_machine_the_proxy() -> None:
    """Let nothing that goes to this machine go through a proxy, here and in all that is started."""
    for name in ("no_proxy", "NO_PROXY"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*known, "127.0.0.1", "localhost"]))


def _run(words: list[str], *, debug: bool) -> int:
    try:
        _check_verb(words)
        check_whole(words)
        if words and words[0] in VERBS and not _HELP.isdisjoint(words):
            flatten_docstrings(f"adx_lab.cli.{VERBS[words[0]][0].partition(':')[0]}", words[1:])
        words = _with_locust_words(words)
        code = app(words or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # here every error becomes a line and a code
        if debug:
            sys.stderr.write(scrub(traceback.format_exc()))
        line, code = _explain(error)
        if line:
            say_error(line)
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> tuple[str, int]:
    """Return the one line that tells a person what is wrong, and the exit code."""
    match error:
        case AdxLabError():
            return str(error), error.exit_code
        case CycloptsError():
            return _misused(error), UsageError.exit_code
        case KeyboardInterrupt():
            return "interrupted", 130
        case BrokenPipeError():  # whoever read our output has left; that is no fault
            sys.stderr.close()
            return "", 0
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            said = f"the operating system refused: {error.strerror or error}{where}"
            return f"{said}; run adx-lab doctor", AdxLabError.exit_code
    return f"a fault of ADX Lab itself: {type(error).__name__}: {error}; --debug shows where", 3


def _misused(error: CycloptsError) -> str:
    """Say what of a command line can't be read, and whose help says how it is written."""
    verb = " ".join(error.command_chain or ())
    see = f"see adx-lab {verb} --help" if verb else "see adx-lab --help"
    if isinstance(error, UnusedCliTokensError):
        return f"{' '.join(error.unused_tokens or ())} is more than adx-lab {verb} takes; {see}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"adx-lab {verb} needs {error.argument.name}; {see}"
    return f"{' '.join(str(error).split()).rstrip('.')}; {see}"


def _check_verb(words: list[str]) -> None:
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        near = difflib.get_close_matches(words[0], VERBS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"
        raise UsageError(f"unknown verb {words[0]}", mend=mend)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # A polite kill takes the road of Ctrl-C, so that every ``finally`` runs and no child is left.
    raise KeyboardInterrupt
