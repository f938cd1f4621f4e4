"""The page of the performance rules: what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adx_lab.report.page.assets import write_sheet
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.switches.worth_figure import worth_of_rules
from adx_lab.report.switches.worth_table import rules_table
from adx_lab.settings import Settings
from adx_lab.store.rule_costs import RuleCost

PAGE = "rules.html"


def write_rules(settings: Settings, costs: Sequence[RuleCost]) -> Path:
    """Write the page of what was measured, and return where it is.

    Raises
    ------
    StoreError
        It can't be written.
    """
    sections = [
        Section("worth", "What breaking each rule costs", (worth_of_rules(costs),)),
        Section("rules", "Each rule", (rules_table(costs),)),
    ]
    words = "The core against itself with one rule off, over what shows it."
    return write_sheet(settings, PAGE, "what the performance rules are worth", words, sections)
