"""``adx-lab plans show FILE``: apart from its siblings, since it needs no stack and should answer at once."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from adx_lab.analysis.plans import analyse, read_plans, scan_plans
from adx_lab.analysis.plans.grouping import group_plans
from adx_lab.cli.console import print_json, say_error
from adx_lab.errors import UsageError
from adx_lab.report.plans.terminal import print_groups, print_plans

_SHOWN_MAX = 12
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh", b"PK\x03\x04")


def show(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    json: bool = False,
    every: Annotated[bool, Parameter(name="--all")] = False,
) -> int:
    """Read what EXPLAIN printed in any format, or a log with auto_explain's plans, and account for its time.

    Parameters
    ----------
    file
        The file; ``-`` reads standard input.
    json
        Print each plan with all its nodes as one JSON document.
    every
        Print every plan of a log that holds many; where left out they are put together by statement and
        shape, the costliest first.
    """
    text = read_text(file)
    reading = scan_plans(text)
    documents = reading.documents or read_plans(text)
    for fault in reading.faults[:_SHOWN_MAX]:
        say_error(f"left out: {fault}")
    if json:
        from adx_lab.report.plans.document import plan_document  # only what prints JSON waits for it

        plain = [plan_document(analyse(document)) for document in documents]
        print_json(plain[0] if len(plain) == 1 else plain)
    elif len(documents) > _SHOWN_MAX and not every:
        print_groups(group_plans(documents))
    else:
        print_plans([analyse(document) for document in documents])
    if reading.faults and reading.documents:
        say_error(f"{len(documents)} plans were read, {len(reading.faults)} could not be")
    return 0


def read_text(file: str) -> str:
    """Return a file's text, or standard input's.

    Raises
    ------
    UsageError
        The file can't be read, or is compressed.
    """
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from error
    if raw.startswith(_COMPRESSED):
        raise UsageError(f"{file} is compressed", mend="unpack it: zcat FILE | adx-lab plans show -")
    # Windows PowerShell writes UTF-16 where output is redirected to a file.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if utf16 else "utf-8", errors="replace")
