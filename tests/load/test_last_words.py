"""Why Locust ended, from its log; and what of its options somebody may say where: the reason, in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab.errors import UsageError
from adx_lab.load.starting.defaults import refuse_the_labs, source_of
from adx_lab.load.starting.last_words import crash, last_words, reason

IMPORT = """Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "{locust}/main.py", line 190, in main
    load_locustfile(path)
  File "/their/theirs.py", line 3, in <module>
    from helpers import login
  File "/their/helpers.py", line 7, in <module>
    raise RuntimeError("not today")
  File "{locust}/event.py", line 41, in fire
    handler(**kwargs)
RuntimeError: not today
"""
SYNTAX = """Traceback (most recent call last):
  File "/their/theirs.py", line 1
    def broken(:
               ^
SyntaxError: invalid syntax
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/their/theirs.py", line 9, in <module>
  |     raise ExceptionGroup("many", [KeyError("a")])
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | KeyError: 'a'
    +------------------------------------
"""
CHAINED = """Traceback (most recent call last):
  File "/their/theirs.py", line 2, in <module>
    {}["a"]
KeyError: 'a'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/their/theirs.py", line 4, in <module>
    raise ValueError("no\\nwords")
ValueError: no
words
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (IMPORT, "RuntimeError: not today (helpers.py, line 7)"),
        (GROUP, "ExceptionGroup: many (1 sub-exception) (theirs.py, line 9)"),
        (CHAINED, "ValueError: no (theirs.py, line 4)"),
        (
            SYNTAX,
            "SyntaxError: invalid syntax (theirs.py, line 1)",
        ),
        (
            "[2026-01-02 03:04:05,678] host/ERROR/root: Uncaught exception in event handler: \n" + IMPORT,
            "RuntimeError: not today (helpers.py, line 7)",
        ),
        # What a file catches and prints is not the reason where something else comes after it.
        (
            IMPORT + "locust: error: the following arguments are required: --tenant-id\n",
            "the following arguments are required: --tenant-id",
        ),
        (
            "__main__.py: error: unrecognized arguments: --tenant=1\nDid you mean '--tags'?\n",
            "unrecognized arguments: --tenant=1 (Did you mean '--tags'?)",
        ),
        (
            "theirs: error: no --config given\n\nadx-lab: left: (theirs.py, line 9)\n",
            "no --config given (theirs.py, line 9)",
        ),
        (
            "\nadx-lab: left: install x (theirs.py, line 9)\ninstall x\ngood bye\n",
            "install x (theirs.py, line 9)",
        ),
        ("[2026-01-02 03:04:05,678] host/ERROR/locust.main: Unknown User(s): X\n\n", "Unknown User(s): X"),
        (
            "Could not find any locustfiles in directory 'x'",
            "Could not find any locustfiles in directory 'x'",
        ),
        ("[2026-01-02 03:04:05,678] host/ERROR/locust.main: No User class found!\n", "it has no User class"),
        ("", None),
    ],
)
def test_the_reason_is_what_came_last(tmp_path: Path, log: str, said: str | None) -> None:
    file = tmp_path / "locust.log"
    library = next(path for path in sys.path if path.endswith("site-packages"))
    file.write_text(log.replace("{locust}", f"{library}/locust"))
    assert last_words(file) == said
    assert reason(file) in {said, None}


def test_a_crash_is_what_stands_at_the_very_end(tmp_path: Path) -> None:
    file = tmp_path / "locust.log"
    file.write_text(IMPORT)
    assert crash(file) is not None
    file.write_text(IMPORT + "all is well again\n")
    assert crash(file) is None


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("--users", "5"), "--users of adx-lab"),
        (("-u5",), "--users of adx-lab"),
        (("--run-time=9s",), "--duration of adx-lab"),
        (("--account", "x", "-f", "other.py"), "--locustfile of adx-lab"),
        (("--master",), "--expect-workers and --bind"),
        (("--worker",), "--master of adx-lab"),
        (("--headful",), "adx-lab ui"),
        (("--help",), "python -m locust"),
    ],
)
def test_what_is_the_labs_to_say_is_refused_behind_two_dashes(words: tuple[str, ...], mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        refuse_the_labs(words)


def test_what_is_locusts_or_the_files_own_is_not_refused() -> None:
    refuse_the_labs(("--account", "x", "--tags", "read", "--csv", "out", "--users-file", "u.csv", "Clerk"))


def test_an_option_that_locust_refuses_is_looked_for_where_it_stands(tmp_path: Path) -> None:
    words = "unrecognized arguments: --nonsense=3"
    assert source_of(words, (), {}, tmp_path) is None
    assert source_of(words, (), {"LOCUST_NONSENSE": "3"}, tmp_path) == "LOCUST_NONSENSE"
    (tmp_path / "locust.conf").write_text("# mine\nnonsense = 3\n")
    assert source_of(words, (), {}, tmp_path) == "locust.conf"
    assert source_of(words, ("--nonsense=3",), {}, tmp_path) is None


SETTLED = """
import json, sys
from locust import argument_parser
from adx_lab.load.given.in_hand import keep_in_hand
keep_in_hand()
sys.argv = ["locust", "--headless", "--processes", "0"]
told = vars(argument_parser.get_parser().parse_args())
print(json.dumps({name: told[name] for name in sys.stdin.read().split()}))
"""


def test_the_lab_decides_on_master_worker_and_page_whatever_a_conf_says(tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text(
        "master = true\nheadful = true\nexpect-workers = 4\nprocesses = 3\nlist = true\nusers = 7\n"
    )
    names = "master worker headful headless expect_workers processes list_commands num_users adx_unheeded"
    done = subprocess.run(
        [sys.executable, "-c", SETTLED], input=names, cwd=tmp_path, capture_output=True, text=True,
        check=True, env=os.environ | {"LOCUST_MODE_WORKER": "true"},
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    unheeded = told.pop("adx_unheeded")
    assert told == {
        "master": False, "worker": False, "headful": False, "headless": True, "expect_workers": 1,
        "processes": 0, "list_commands": False, "num_users": 7,
    }  # fmt: skip
    assert unheeded == [
        "LOCUST_MODE_WORKER",
        *(f"{name} of locust.conf" for name in ("expect-workers", "headful", "list", "master")),
    ]
