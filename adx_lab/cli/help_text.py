"""Pages of help: an example of each verb, and docstrings as a terminal shows them.

Plain text, since what draws Markdown takes a third of the time in which a page of help is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Sequence

EXAMPLES = {
    "init": "adx-lab init --url http://127.0.0.1:8080 --database postgresql://…",
    "doctor": "adx-lab doctor --json",
    "up": "adx-lab up --detach; adx-lab up --rules-off cache.l1,db.pagination",
    "down": "adx-lab down --purge",
    "status": "adx-lab status",
    "load": "adx-lab load mixed --duration 20; adx-lab load --locustfile my.py --url http://127.0.0.1:8080",
    "ui": "adx-lab ui mixed --rate 100",
    "lab": "adx-lab lab --no-browser --port 8888",
    "duet": "adx-lab duet HEAD~1 . --profile quick; adx-lab duet . .+cache.l1=off",
    "bisect": "adx-lab bisect v1.2 HEAD --limit 900",
    "rules": "adx-lab rules cache.l1 db.indexes; adx-lab rules --list",
    "nightly": "adx-lab nightly --profile quick --page",
    "plans": "adx-lab plans --query users.list --tenant whale; adx-lab plans show explain.txt",
    "statements": "adx-lab statements; adx-lab statements --tree 1",
    "calibrate": "adx-lab calibrate --duets 4; adx-lab calibrate --duets 0",
    "verdict": "adx-lab verdict latest",
    "baseline": "adx-lab baseline set main; adx-lab baseline show",
    "runs": "adx-lab runs list; adx-lab runs show latest; adx-lab runs compare A B",
    "report": "adx-lab report latest --single report.html",
}
"""How each verb is used."""


def example(verb: str) -> str:
    """Return the last lines of a verb's page of help."""
    return "For example:\n" + "\n".join(f"  {one.strip()}" for one in EXAMPLES[verb].split(";"))


def flatten_docstrings(where: str, words: Sequence[str]) -> None:
    """Make the docstrings of a verb's functions what a terminal shows: lines unbroken, no marks.

    Parameters
    ----------
    where
        The verb's module.
    words
        What was typed behind the verb: a verb below it may have a module of its own.
    """
    below = f"{where}_{words[0]}" if words and words[0].isidentifier() else ""
    names = [where, *([below] if below and importlib.util.find_spec(below) else [])]
    for name in names:
        for value in vars(importlib.import_module(name)).values():
            if inspect.isfunction(value) and value.__doc__ and value.__module__.startswith("adx_lab.cli"):
                value.__doc__ = flat(value.__doc__)


def flat(docstring: str) -> str:
    """Return a NumPy docstring with each paragraph in one line, and without its marks of code."""
    lines: list[str] = []
    listing = False
    for line in inspect.cleandoc(docstring).replace("``", "").splitlines():
        listing = listing or (bool(line) and not line.strip("-"))
        deeper = line.startswith("    ")
        before = lines[-1] if lines else ""
        goes_on = before.startswith("    ") if deeper else not listing
        if line.strip() and before.strip() and goes_on:
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)
