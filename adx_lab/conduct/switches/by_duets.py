"""What each switch of any service is worth: a duet of the working tree with itself, that switch off.

Whose rules the lab knows, with a probe for each, is measured by `adx_lab.conduct.switches.measure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.verdict import Verdict
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.play import play
from adx_lab.errors import UsageError, nearest
from adx_lab.progress import Progress
from adx_lab.services.sources import working_tree
from adx_lab.services.switches import ask_switches
from adx_lab.settings import Settings


@dataclass(frozen=True, slots=True)
class SwitchWorth:
    """One switch, measured.

    Attributes
    ----------
    status
        ``costs``: without it something is worse; ``saves``: something is better, and nothing worse;
        ``nothing``; or ``undecided``.
    shown
        The comparison that moved the most, off over on; None where none moved.
    words
        Why it is undecided.
    run_id
        Of the duet; None where it could not be played.
    """

    switch: str
    status: str
    shown: Comparison | None = None
    words: str = ""
    run_id: str | None = None


async def measure_switches(
    settings: Settings, names: Sequence[str], order: DuetOrder, progress: Progress
) -> tuple[SwitchWorth, ...]:
    """Measure switches one after another, those that are on now; each duet is stored as any other.

    Parameters
    ----------
    names
        Which; all of them where none is named.
    order
        How each duet is played; its variants are filled in.

    Raises
    ------
    UsageError
        The service has no such switch, or none at all.
    """
    known = switches_of(settings)
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UsageError(
            f"{settings.service.name} has no switch {unknown}", mend=nearest(unknown, list(known))
        )
    found = []
    for name in names or [name for name, on in known.items() if on]:
        progress.step(f"{name}: on and off, both up at once")
        played = await play(settings, replace(order, base=".", head=f".+{name}=off"), progress)
        found.append(worth_of(name, played.answer.verdict, measured=played.run is not None))
    return tuple(found)


def switches_of(settings: Settings) -> Mapping[str, bool]:
    """Return which switches a service has, and whether each is on.

    Raises
    ------
    UsageError
        It tells of none.
    """
    start = settings.service.start
    known = ask_switches(working_tree(settings.source_dir, start), settings, start).switches
    if not known:
        raise UsageError(
            f"{settings.service.name} tells of no switches",
            mend="let service.start.switches name a command that prints them as JSON",
        )
    return known


def worth_of(switch: str, verdict: Verdict, *, measured: bool = True) -> SwitchWorth:
    """Return what a duet says of a switch that was off in its head."""
    gates = [one for one in verdict.comparisons if one.gate]
    run_id = verdict.run_id if measured else None
    for status, word in (("slower", "costs"), ("faster", "saves")):
        moved = [one for one in gates if one.status == status]
        if verdict.status == "invalid" or not moved:
            continue
        return SwitchWorth(switch, word, max(moved, key=_size), run_id=run_id)
    if verdict.status == "pass":
        return SwitchWorth(switch, "nothing", run_id=run_id)
    told = [finding.cause for finding in verdict.findings]
    told += [check.check for check in verdict.validity if not check.ok]
    return SwitchWorth(
        switch, "undecided", words=told[0] if told else "measure longer: --blocks 12", run_id=run_id
    )


def _size(one: Comparison) -> float:
    return abs((one.ratio or 1.0) - 1.0)
