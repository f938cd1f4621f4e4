"""The page of a bisection, and the document that machines read."""

from __future__ import annotations

import os
from pathlib import Path

from adx_lab.analysis.bisection.answer import Culprit
from adx_lab.errors import StoreError
from adx_lab.records.documents import to_json
from adx_lab.report.bisection.tables import findings_table, likelihoods_table, slowdown_table, steps_table
from adx_lab.report.page.assets import copy_script, environment

DOCUMENT, PAGE = "bisection.json", "index.html"

_STATUS = {"found": "regressed", "narrowed": "undecided", "stopped": "undecided", "same": "pass"}


def write_bisection(folder: Path, answer: Culprit) -> None:
    """Write what there is; each file appears whole or not at all.

    Raises
    ------
    StoreError
        The folder can't be written.
    """
    page = environment(depth=1).get_template("bisection.html.j2")
    text = page.render(
        answer=answer,
        status=_STATUS[answer.status],
        steps=steps_table(answer),
        slowdown=slowdown_table(answer),
        likelihoods=likelihoods_table(answer),
        findings=findings_table(answer),
    )
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            copy_script(folder.parent)
        _write(folder / DOCUMENT, to_json(answer.to_json(), indent=2) + "\n")
        _write(folder / PAGE, text)
    except OSError as error:
        raise StoreError(f"{folder} can't be written: {error.strerror}", mend="free some space") from error


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o600)
    partial.replace(path)
