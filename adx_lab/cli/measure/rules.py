"""``adx-lab rules``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from adx_lab.cli.checks import check_positive, check_seed
from adx_lab.cli.console import ConsoleProgress, print_json, print_pairs, print_table
from adx_lab.records.documents import to_plain
from adx_lab.settings import read_settings

if TYPE_CHECKING:
    from adx_lab.settings import Settings
    from adx_lab.store.rule_costs import RuleCost


UNDECIDED = 3


def run(
    *rules: str,
    stored: Annotated[bool, Parameter(name="--list", negative=())] = False,
    blocks: int | None = None,
    seconds: float | None = None,
    rate: float | None = None,
    seed: int = 1,
    json: bool = False,
) -> int:
    """Switch rules off one by one and measure what each is worth.

    The core runs against itself with one rule off, over what shows that rule. Each result is stored as it is
    known, so that a call that was interrupted, or a later one, adds up. Of another service each switch that
    it tells of is measured by a duet.

    Parameters
    ----------
    rules
        Which; left out, all of them.
    stored
        Measure nothing; print what is stored, or which switches another service has.
    blocks
        Of each rule, with fresh processes and databases; left out, 6: fewer can't tell anything.
    seconds
        Of measured load in each block; left out, 2.5.
    rate
        Pairs of requests a second; left out, what suits the rule.
    seed
        The same seed sends the same schedules.
    json
        Print the results as one JSON document.
    """
    check_positive({"--rate": rate, "--seconds": seconds, "--blocks": blocks})
    check_seed(seed)
    from adx_lab.conduct.switches.catalogue import measures_of
    from adx_lab.conduct.switches.measure import RulesOrder, measure_rules
    from adx_lab.store.rule_costs import read_rule_costs

    settings = read_settings()
    if stored and not settings.is_reference:
        return _list(settings, json=json)
    if not settings.is_reference:
        return _of_any_service(
            settings, rules, blocks=blocks, seconds=seconds, rate=rate, seed=seed, json=json
        )
    if stored:
        names = [measure.rule for measure in measures_of(rules)]
        known = read_rule_costs(settings)
        _print(settings, [known[name] for name in names if name in known], json=json)
        return 0
    usual = RulesOrder()
    order = RulesOrder(
        rules, blocks=blocks or usual.blocks, seconds=seconds or usual.seconds, rate_per_s=rate, seed=seed
    )
    measured = asyncio.run(measure_rules(settings, order, ConsoleProgress()))
    _print(settings, measured, json=json)
    return UNDECIDED if any(cost.status == "undecided" for cost in measured) else 0


def _list(settings: Settings, *, json: bool) -> int:
    from adx_lab.conduct.switches.by_duets import switches_of

    known = switches_of(settings)
    if json:
        print_json({"switches": known})
    else:
        print_pairs({name: "on" if on else "off" for name, on in known.items()})
    return 0


def _of_any_service(
    settings: Settings,
    names: tuple[str, ...],
    *,
    blocks: int | None,
    seconds: float | None,
    rate: float | None,
    seed: int,
    json: bool,
) -> int:
    from adx_lab.conduct.duet.order import DuetOrder
    from adx_lab.conduct.run.request import usual_scenario
    from adx_lab.conduct.switches.by_duets import measure_switches
    from adx_lab.report.switches.worth_table import switches_table

    order = DuetOrder(
        ".",
        ".",
        scenario=usual_scenario(settings),
        rate_per_s=rate,
        blocks=blocks,
        seconds=seconds,
        profile="quick",
        seed=seed,
    )
    measured = asyncio.run(measure_switches(settings, names, order, ConsoleProgress()))
    if json:
        print_json({"switches": [to_plain(one) for one in measured]})
    else:
        print_table(
            switches_table([(one.switch, one.status, one.shown, one.words, one.run_id) for one in measured])
        )
    return UNDECIDED if any(one.status == "undecided" for one in measured) else 0


def _print(settings: Settings, costs: Sequence[RuleCost], *, json: bool) -> None:
    from adx_lab.report.page.sheets.rules import write_rules
    from adx_lab.report.switches.worth_table import rules_table

    if json:
        print_json({"rules": [asdict(cost) for cost in costs]})
        return
    if not costs:
        print("no rule has been measured yet")
        return
    print_table(rules_table(costs, evidence=False))
    print()
    for cost in costs:
        print(f"evidence  {cost.rule}: {cost.evidence or 'none'}")
    for cost in costs:
        for caveat in cost.caveats:
            print(f"caveat    {cost.rule}: {caveat.text}")
    for run_id in dict.fromkeys(cost.run_id for cost in costs):
        print(f"run       {run_id}")
    print(f"page      {write_rules(settings, costs)}")
