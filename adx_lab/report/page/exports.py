"""A verdict for machines and for a pull request: JSON, JUnit XML, Markdown, and tables as CSV."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import BEGAN_LATER
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.verdict import Verdict
from adx_lab.files import write_whole
from adx_lab.records.documents import to_json
from adx_lab.report.duet.comparison_tables import comparisons
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.verdict_words import summarise_verdict
from adx_lab.report.parts.escapes import for_markdown, for_markdown_code, for_xml
from adx_lab.report.parts.numbers import interval, number
from adx_lab.report.parts.words import subject_words
from adx_lab.report.plans.tables import cells_table
from adx_lab.report.run import tables

DOWNLOADS = {
    "verdict.json": "this verdict for machines",
    "junit.xml": "the same for a CI server: a test case a budget, a comparison and a check",
    "summary.md": "the same for a pull request",
    "budgets.csv": "each budget with its interval",
    "endpoints.csv": "latency percentiles by endpoint with intervals",
    "timeline.csv": "percentiles and throughput over time",
    "comparisons.csv": "ratios of head to base with intervals",
    "plans.csv": "every query plan's time and pages",
}
_MARKS = {"pass": "✅", "regressed": "❌", "undecided": "❔", "invalid": "⚠️"}


def write_exports(folder: Path, contents: Contents, verdict: Verdict) -> list[str]:
    """Write every export that has something to hold, and return their names."""
    texts = {
        "verdict.json": to_json(verdict.to_json(), indent=2) + "\n",
        "junit.xml": junit(verdict),
        "summary.md": markdown(verdict),
    }
    shown = {
        "budgets.csv": tables.budgets(verdict.budgets),
        "comparisons.csv": comparisons(verdict.comparisons),
    }
    if contents.judgement is not None:
        shown["endpoints.csv"] = tables.endpoints(contents.judgement.endpoints)
        shown["timeline.csv"] = tables.timeline(contents.judgement.samples)
    if contents.plans is not None:
        shown["plans.csv"] = cells_table(contents.plans)
    for name, text in texts.items():
        write_whole(folder / name, text)
    kept = {name: table for name, table in shown.items() if table.rows}
    for name, table in kept.items():
        write_whole(folder / name, table.csv())
    return [name for name in DOWNLOADS if name in texts or name in kept]


def junit(verdict: Verdict) -> str:
    """Return JUnit XML: broken is a failure, undecided is skipped, invalid is an error."""
    suites = ET.Element("testsuites", name=for_xml(f"adx-lab {verdict.run_id}"))
    budgets = ET.SubElement(suites, "testsuite", name="budgets")
    for item in verdict.budgets:
        _outcome(_case(budgets, f"{item.name} ({item.metric})"), item.status, _budget_words(item))
    comparisons = ET.SubElement(suites, "testsuite", name="comparisons")
    for one in verdict.comparisons:
        words = "; ".join([_ratio_words(one), *(caveat.text for caveat in one.caveats)])
        _outcome(_case(comparisons, f"{one.subject} {one.metric}"), one.status, words)
    validity = ET.SubElement(suites, "testsuite", name="validity")
    for check in verdict.validity:
        case = _case(validity, check.check)
        if not check.ok:
            words = f"{number(check.value)}, limit {number(check.limit)}"
            ET.SubElement(case, "error", message=for_xml(words))
    for suite in suites:
        cases = list(suite)
        suite.set("tests", str(len(cases)))
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def markdown(verdict: Verdict) -> str:
    """Return a summary for a pull request: the verdict, the causes, and what is not kept."""
    lines = [
        f"## {_MARKS[verdict.status]} ADX Lab: {verdict.status}",
        "",
        for_markdown(summarise_verdict(verdict)),
        "",
    ]
    for finding in verdict.findings:
        share = "" if finding.share is None else f" ({finding.share:.0%} of the added time)"
        about = "" if _names_it(finding) else f"{for_markdown(subject_words(finding.subject))}: "
        lines.append(f"- **{for_markdown(finding.kind)}**: {about}{for_markdown(finding.cause)}{share}")
    doubted = [one for one in verdict.comparisons if BEGAN_LATER in one.caveats]
    lines += [f"- **note**: {for_markdown(f'{one.subject}: {BEGAN_LATER.text}')}" for one in doubted]
    if verdict.findings or doubted:
        lines.append("")
    told = [item for item in verdict.budgets if item.status != "pass"]
    if told:
        lines += ["| budget | measured | limit | status |", "|---|---|---|---|"]
        lines += map(_budget_row, told)
        lines.append("")
    changed = [one for one in verdict.comparisons if one.status in {"slower", "faster"}]
    if changed:
        lines += ["| compared | head over base | interval | status |", "|---|---|---|---|"]
        lines += map(_comparison_row, changed)
        lines.append("")
    lines.append(f"Run {for_markdown_code(verdict.run_id)}.")
    return "\n".join(lines) + "\n"


def _names_it(finding: Finding) -> bool:
    """Tell whether a cause says itself what it is about."""
    return finding.subject in finding.cause or finding.kind in {"invalid", "unjudged", "added"}


def _budget_row(item: BudgetResult) -> str:
    unit = for_markdown(item.unit)
    name = f"{for_markdown(item.name)} ({for_markdown_code(item.metric)})"
    measured = f"{number(item.value)} {unit} ({interval(item.low, item.high)})"
    return f"| {name} | {measured} | {number(item.limit)} {unit} | {item.status} |"


def _comparison_row(one: Comparison) -> str:
    ratio, within = _ratio_words(one).split(" ", 1)
    return f"| {for_markdown(f'{one.subject} {one.metric}')} | {ratio} | {within} | {one.status} |"


def _case(suite: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=str(suite.get("name")), name=for_xml(name))


def _outcome(case: ET.Element, status: str, words: str) -> None:
    if status in {"fail", "slower"}:
        ET.SubElement(case, "failure", message=for_xml(words))
    elif status == "undecided":
        ET.SubElement(case, "skipped", message=for_xml(f"undecided: {words}"))


def _budget_words(item: BudgetResult) -> str:
    measured = f"{number(item.value)} {item.unit} ({interval(item.low, item.high)})".strip()
    return f"{measured}, limit {number(item.limit)}"


def _ratio_words(one: Comparison) -> str:
    if one.ratio is None or one.low is None or one.high is None:
        return "– –"
    return f"{one.ratio - 1:+.1%} {one.low - 1:+.1%} to {one.high - 1:+.1%}"
