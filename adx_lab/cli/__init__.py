"""The command line: one file a verb, and the one place where an error becomes a line and an exit code.

Exit codes: 0 pass; 1 regressed or over budget; 2 wrong use or wrong configuration; 3 could not decide or could not
measure. Verbs are loaded when they are called, so that ``--help`` never waits for pandas.
"""

from __future__ import annotations

import difflib
import signal
import sys
import traceback
from types import FrameType

from cyclopts import App, CycloptsError

from adx_lab.cli.console import say_error
from adx_lab.errors import AdxLabError, UsageError

VERBS = {
    "doctor": "Check machine, limits and dependencies, and say how to mend each thing.",
    "up": "Start the stack: PostgreSQL, Valkey, the core.",
    "down": "Stop the stack.",
    "status": "Show the stack's URLs and health.",
    "load": "Make one recorded headless load run.",
    "nightly": "Do everything: one verdict, one report, one exit code.",
    "runs": "List, show or delete stored runs.",
    "report": "Make the report of a stored run again.",
}

app = App(
    name="adx-lab",
    help="Did the service get slower, where, and which query plan, cache layer or change did it?",
    version_flags=["--version"],
    help_flags=["--help", "-h"],
)
for _verb, _help in VERBS.items():
    app.command(f"adx_lab.cli.{_verb}:{'app' if _verb == 'runs' else 'run'}", name=_verb, help=_help)


def main() -> None:
    """Run the command line and exit with its code."""
    words = sys.argv[1:]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    sys.exit(_run(words, debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        near = difflib.get_close_matches(words[0], VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"verbs are {', '.join(VERBS)}"
        say_error(f"unknown verb {words[0]}; {hint}")
        return UsageError.exit_code
    try:
        code = app(words or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        say_error(f"{_one_line(error)}; see adx-lab --help")
        return UsageError.exit_code
    except AdxLabError as error:
        if debug:
            traceback.print_exc()
        say_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say_error("interrupted")
        return 130
    except BrokenPipeError:  # whoever read our output has left; that is no fault
        sys.stderr.close()
        return 0
    except OSError as error:
        if debug:
            traceback.print_exc()
        where = f" ({error.filename})" if error.filename else ""
        say_error(f"the operating system refused: {error.strerror or error}{where}; run adx-lab doctor")
        return AdxLabError.exit_code
    except Exception as error:  # noqa: BLE001  # the last line of defence: a fault of ours, said as such
        if debug:
            traceback.print_exc()
        say_error(f"a fault of ADX Lab itself: {type(error).__name__}: {error}; --debug shows where")
        return AdxLabError.exit_code
    return code if isinstance(code, int) else 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # A polite kill takes the road of Ctrl-C, so that every ``finally`` runs and no child is left.
    raise KeyboardInterrupt


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()).rstrip(".")
