"""A cause that was once named wrongly, from what a real duet of it left behind.

The file holds the split of each endpoint's time and the facts of both variants, as they went into the rules.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec

from adx_lab.analysis.duet.causes.added_time import Claim, Ledger
from adx_lab.analysis.duet.causes.rules import RULES
from adx_lab.analysis.duet.causes.time_changes import EndpointChange
from adx_lab.analysis.duet.causes.variant_traits import VariantFacts

CAPTURED = Path(__file__).parent / "captured"


def ledger_of(name: str) -> Ledger:
    told = json.loads((CAPTURED / f"{name}.json").read_text())
    changes = msgspec.convert(told["changes"], tuple[EndpointChange, ...])
    base, head = (msgspec.convert(told[side], VariantFacts) for side in ("base", "head"))
    return Ledger(changes, base, head)


def claims_of(ledger: Ledger) -> list[Claim]:
    claims = [claim for rule in RULES for claim in rule(ledger) if not claim.consequence]
    return sorted(claims, key=lambda claim: -ledger.milliseconds(claim))


def test_a_blocking_call_comes_first() -> None:
    first = claims_of(ledger_of("blocking"))[0]
    assert (first.kind, first.subject) == ("blocking", "GET /users/{id}")


def test_a_wait_that_holds_nobody_up_is_no_blocking_call() -> None:
    """The same times with a loop that is as punctual as before: then something outside is slow."""
    told = ledger_of("blocking")
    base = told.base
    head = replace(told.head, loop_lag_ms=base.loop_lag_ms, loop_lag_p90_ms=base.loop_lag_p90_ms)
    first = claims_of(Ledger(told.changes, base, head))[0]
    assert (first.kind, first.subject) == ("dependency", "GET /users/{id}")
