"""``adx-lab baseline set|show``."""

from __future__ import annotations

from cyclopts import App

from adx_lab.cli.console import print_json, print_pairs
from adx_lab.cli.help_text import example
from adx_lab.conduct.baseline import Baseline, read_baseline, set_baseline
from adx_lab.errors import UsageError
from adx_lab.records.documents import to_plain
from adx_lab.settings import read_settings

app = App(
    name="baseline",
    help="Set or show what the working tree is compared with.",
    help_epilogue=example("baseline"),
)


@app.command(name="set")
def set_ref(ref: str, /, *, json: bool = False) -> int:
    """Make a git ref the baseline.

    Parameters
    ----------
    ref
        A branch, a tag or a commit; the commit that it names now is kept.
    json
        Print it as one JSON document.
    """
    return _say(set_baseline(read_settings(), ref), json=json)


@app.command
def show(*, json: bool = False) -> int:
    """Show the baseline.

    Parameters
    ----------
    json
        Print it as one JSON document.
    """
    baseline = read_baseline(read_settings())
    if baseline is None:
        raise UsageError("no baseline is set", mend="adx-lab baseline set REF")
    return _say(baseline, json=json)


def _say(baseline: Baseline, *, json: bool) -> int:
    if json:
        print_json(baseline)
    else:
        print_pairs(to_plain(baseline))
    return 0
