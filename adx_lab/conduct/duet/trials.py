"""What this machine's trials say of its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from adx_lab.analysis.duet.pair_ratios import METRIC
from adx_lab.analysis.verdict import Calibration, Verdict
from adx_lab.capture.resources import describe_machine
from adx_lab.records.documents import digest
from adx_lab.settings import Settings
from adx_lab.store.folders import StoredRun
from adx_lab.store.trials import Trial, TrialKind, TrialLedger

FOUND_SHARE = 0.9
_TRIALS_MIN = 5


def machine_id() -> str:
    """Return what tells this machine's trials from another's."""
    return digest(describe_machine())


def trials(settings: Settings) -> list[Trial]:
    """Return this machine's trials, oldest first."""
    ledger = TrialLedger(settings)
    try:
        return ledger.of(machine_id())
    finally:
        ledger.close()


def latest_calibration(settings: Settings) -> Calibration | None:
    """Return what is known of this machine's verdicts, or None before the first trial."""
    known = trials(settings)
    return calibration_of(known) if known else None


def calibration_of(known: Sequence[Trial]) -> Calibration:
    """Add trials up.

    The smallest effect is the smallest injected slowdown that was found nine times in ten, where there are
    enough trials of it; before that, what the duets say of themselves, at their median.
    """
    # A duet that is invalid, since the machine was too busy, says nothing, whatever it seemed to find.
    judged = [trial for trial in known if trial.status != "invalid"]
    equal = [trial for trial in judged if trial.kind == "equal"]
    slowed = [trial for trial in judged if trial.kind != "equal"]
    realistic = [trial for trial in slowed if trial.kind == "realistic" and trial.found]
    named = [trial for trial in realistic if trial.cause_right is not None]
    return Calibration(
        false_positive_rate=_share([trial.found for trial in equal]),
        power=_share([trial.found for trial in slowed]),
        smallest_effect=_smallest(slowed, judged),
        cause_named=_share([bool(trial.cause_right) for trial in named]),
        n_equal=len(equal),
        n_slowed=len(slowed),
    )


def note_equal(settings: Settings, run: StoredRun, verdict: Verdict) -> None:
    """Count a duet of two equal variants towards the machine's calibration; others are not counted."""
    variants = run.record.duet.variants
    if variants["base"]["identity"] == variants["head"]["identity"]:
        keep_trial(settings, run, verdict, kind="equal", name="equal")


def keep_trial(
    settings: Settings,
    run: StoredRun,
    verdict: Verdict,
    *,
    kind: TrialKind,
    name: str,
    effect: float | None = None,
    causes: Sequence[str] = (),
) -> Trial:
    """Put a trial into the ledger; ``causes`` are the kinds that would be right."""
    blocks = run.record.duet.blocks
    slower = any(one.status == "slower" for one in verdict.comparisons)
    first = next((one for one in verdict.findings if one.kind != "invalid"), None)
    seen = [
        one.could_see
        for one in verdict.comparisons
        if one.metric == METRIC and one.subject != "all" and one.could_see is not None
    ]
    trial = Trial(
        run_id=run.record.run_id,
        machine=digest(run.record.machine),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        kind=kind,
        name=name,
        effect=effect,
        status=_status(verdict) if kind == "equal" else verdict.status,
        found=slower,
        cause=None if first is None else first.kind,
        cause_right=(first is not None and first.kind in causes) if causes else None,
        smallest_seen=sorted(seen)[len(seen) // 2] if seen else None,
        blocks=len(blocks),
        seconds=sum(float(block["took_s"]) for block in blocks),
    )
    ledger = TrialLedger(settings)
    try:
        ledger.add(trial)
    finally:
        ledger.close()
    return trial


def _status(verdict: Verdict) -> str:
    """Return what the verdict would be, were its variants not known to be equal.

    A difference between equals makes their duet invalid, and is what a calibration counts.
    """
    own = {check.check for check in verdict.validity if not check.ok}
    if own != {"differences_between_equals"}:
        return verdict.status
    return "regressed" if any(one.status == "slower" for one in verdict.comparisons) else "pass"


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None


def _smallest(slowed: Sequence[Trial], judged: Sequence[Trial]) -> float | None:
    by_effect: dict[float, list[bool]] = {}
    for trial in slowed:
        if trial.effect is not None:
            by_effect.setdefault(trial.effect, []).append(trial.found)
    sure = [
        effect
        for effect, found in by_effect.items()
        if len(found) >= _TRIALS_MIN and sum(found) >= FOUND_SHARE * len(found)
    ]
    if sure:
        return min(sure)
    seen = sorted(trial.smallest_seen for trial in judged if trial.smallest_seen is not None)
    return seen[len(seen) // 2] if seen else None
