"""Find out what this machine's verdicts are worth: duets of which the truth is known, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.verdict import Calibration
from adx_lab.conduct.calibration.slowdowns import ENDPOINT, SLOWDOWNS, Slowdown, busy_patch, catalogue, due
from adx_lab.conduct.duet.order import DECISIVE_MIN, DuetOrder
from adx_lab.conduct.duet.play import play
from adx_lab.conduct.duet.trials import calibration_of, keep_trial, trials
from adx_lab.errors import MeasurementError, StoreError, UsageError
from adx_lab.progress import Progress
from adx_lab.settings import Settings
from adx_lab.store.folders import open_run
from adx_lab.store.trials import Trial

_BUSY_MIN_US = 5


@dataclass(frozen=True)
class Calibrated:
    """The ledger as it stands now."""

    calibration: Calibration
    trials: tuple[Trial, ...]
    table: tuple[dict[str, Any], ...]


async def calibrate(
    settings: Settings, order: DuetOrder, progress: Progress, *, duets: int, only: str | None = None
) -> Calibrated:
    """Make so many trials, whichever are due, and add the ledger up.

    Parameters
    ----------
    settings, progress
        As everywhere.
    order
        How each duet is played; its variants are the trial's.
    duets
        How many; each is in the ledger as soon as it ends.
    only
        One trial by its name, again and again.

    Raises
    ------
    UsageError
        There is no trial of that name, or too few blocks for any.
    MeasurementError
        A trial could not be played.
    """
    if order.blocks is not None and order.blocks < DECISIVE_MIN:
        raise UsageError(
            f"{order.blocks} blocks can't decide anything, and would calibrate nothing",
            mend=f"give --blocks at least {DECISIVE_MIN}",
        )
    known = catalogue(SLOWDOWNS)
    if only is not None:
        known = tuple(one for one in known if one.name == only)
        if not known:
            names = ", ".join(one.name for one in catalogue(SLOWDOWNS))
            raise UsageError(f"no trial is called {only}", mend=f"there are {names}")
    for number in range(1, duets + 1):
        chosen = due(known, trials(settings))
        progress.step(f"trial {number} of {duets}: {chosen.name}")
        unsampled = replace(order, functions=False)
        await _try(settings, unsampled, chosen, progress, seed=order.seed + len(trials(settings)))
    made = trials(settings)
    return Calibrated(calibration_of(made), tuple(made), tuple(table_of(made)))


def table_of(made: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return one row a kind of trial: how many, how many found, how many causes right."""
    rows: dict[tuple[str, str], list[Trial]] = {}
    for trial in made:
        rows.setdefault((trial.kind, trial.name), []).append(trial)
    return [
        {
            "kind": kind,
            "name": name,
            "trials": len(some),
            "invalid": sum(trial.status == "invalid" for trial in some),
            "found": sum(trial.found for trial in some),
            "cause_right": sum(bool(trial.cause_right) for trial in some) if kind != "equal" else None,
            "causes": sorted({trial.cause for trial in some if trial.cause and trial.found}),
            "seconds_max": max(trial.seconds for trial in some),
        }
        for (kind, name), some in sorted(rows.items())
    ]


async def _try(
    settings: Settings, order: DuetOrder, chosen: Slowdown, progress: Progress, *, seed: int
) -> None:
    head = chosen.head
    if chosen.effect is not None:
        microseconds = max(_BUSY_MIN_US, round(chosen.effect * 1000 * _service_ms(settings)))
        progress.step(f"{chosen.name} of the time of {ENDPOINT} is {microseconds} µs here")
        patch = busy_patch(SLOWDOWNS, settings.stack_dir / "slowdowns", microseconds)
        head = head.replace("@PATCH@", str(patch))
    played = await play(
        settings, replace(order, base=chosen.base, head=head, purpose="calibrate", seed=seed), progress
    )
    verdict = played.answer.verdict
    progress.step(f"{chosen.name}: {verdict.status}")
    if played.run is None:
        raise MeasurementError(f"the trial {chosen.name} could not be played: {verdict.findings[0].cause}")
    keep_trial(
        settings,
        played.run,
        verdict,
        kind=chosen.kind,
        name=chosen.name,
        effect=chosen.effect,
        causes=chosen.causes,
    )


def _service_ms(settings: Settings) -> float:
    """Return the usual service time of the endpoint, from the latest duet of equals that is still stored.

    Raises
    ------
    UsageError
        There is none.
    """
    for trial in reversed(trials(settings)):
        if trial.kind != "equal":
            continue
        try:
            samples = open_run(settings.runs_dir, trial.run_id).table(
                "samples", ["endpoint", "service_ms", "status", "error"]
            )
        except (UsageError, StoreError):  # deleted, or damaged: an older one will do
            continue
        own = samples[(samples["endpoint"] == ENDPOINT).to_numpy() & ~failed(samples)]
        if len(own):
            return float(own["service_ms"].median())
    raise UsageError(
        f"nobody knows yet how long {ENDPOINT} takes here", mend="run adx-lab calibrate --only equal first"
    )
