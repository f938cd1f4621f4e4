"""Names that the code uses, in the words that people use: no identifier stands in a sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adx_lab.records.statement_texts import short
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import percentage

if TYPE_CHECKING:
    from adx_lab.analysis.run.audit import ValidityCheck
    from adx_lab.analysis.run.budgets import BudgetResult

_SELECTED = re.compile(r"^select .*? from ")

_CHECKS = {
    "loop_lag_p99_ms": "the load generator woke late by, p99 [ms]",
    "schedule_lag_p99_ms": "requests left late by, p99 [ms]",
    "cpu_share_max": "the busiest process of the load generator, of a core",
    "steal_share": "taken from this machine by its hypervisor",
    "foreign_cpu_share": "taken from this machine by other programs",
    "unanswered": "requests that were never answered",
    "lost_requests": "requests that were sent and not recorded",
    "ended_early_s": "the load ended early by [s]",
    "task_exception_share": "tasks that raised an exception",
    "base_starts": "base starts",
    "head_starts": "head starts",
    "load_generated": "the load could be made",
    "base_error_share": "requests that base failed",
    "head_error_share": "requests that head failed",
    "endpoints_differing": "endpoints that only one variant answers",
    "unpaired_share": "requests without a counterpart",
    "differences_between_equals": "differences seen between equal variants",
    "machine_false_positive_rate": "false alarms of this machine",
    "notebooks_failed": "notebooks that failed",
    "night_stopped_early": "the night ended early",
}

_TROUBLES = {
    "loop_lag_p99_ms": (
        "the load generator itself woke up {value} ms late",
        "lower the rate, or add --workers",
    ),
    "schedule_lag_p99_ms": (
        "requests left {value} ms later than planned",
        "lower the rate, or add --workers",
    ),
    "cpu_share_max": (
        "a process of the load generator used {share} of its core",
        "add --workers, or lower the rate",
    ),
    "steal_share": (
        "the hypervisor gave {share} of this machine to others",
        "run again when its neighbours are quiet, or on a machine of your own",
    ),
    "foreign_cpu_share": ("other programs used {share} of this machine", "run again when it is quiet"),
    "unanswered": ("{value} requests were never answered", "look for a service that hung, or lower the rate"),
    "lost_requests": (
        "{value} requests were sent and not recorded",
        "look for a worker of the load generator that died, and run again",
    ),
    "ended_early_s": (
        "the load ended {value} s early",
        "look for what stopped it in the log of the load, and run again",
    ),
    "task_exception_share": (
        "{share} of the tasks raised an exception",
        "mend the locustfile: the load is not the one that it describes",
    ),
    "base_starts": ("base does not start", "mend what its log says, or compare with another ref"),
    "head_starts": ("head does not start", "mend what its log says"),
    "load_generated": ("no load could be made", "see what the load generator said"),
    "base_error_share": ("base failed {share} of its requests", "mend what fails first: failures are fast"),
    "head_error_share": ("head failed {share} of its requests", "mend what fails first: failures are fast"),
    "endpoints_differing": (
        "{value} endpoints are answered by one variant only",
        "compare variants that have the same endpoints, or leave those out of the scenario",
    ),
    "unpaired_share": (
        "{share} of the requests have no counterpart",
        "run again; shorten the blocks if it stays",
    ),
    "differences_between_equals": (
        "this machine saw a difference between two equal variants",
        "run again when it is quiet",
    ),
    "machine_false_positive_rate": (
        "this machine called {share} of its duets of equal variants different",
        "calibrate on a quieter machine: adx-lab calibrate",
    ),
    "notebooks_failed": ("a notebook failed", "open its page: it says which cell, and why"),
    "night_stopped_early": ("the night ended early", "run it again"),
}

_DIED = "_died"

_ROLES = {
    "postgres": "PostgreSQL",
    "postgres_backend": "a backend of PostgreSQL",
    "valkey": "Valkey",
    "locust": "the load generator",
    "stack": "the stack",
}

_METRICS = {
    "pair_ms": "typical request",
    "serial_ms": "asked one at a time",
    "serial_server_ms": "one at a time, server",
    "serial_strays": "one at a time, far slower than usual",
    "cold_ms": "with nothing cached",
    "burst_ms": "many at once",
    "statements_per_request": "statements of a request",
    "pages_per_request": "pages of a request",
    "database_cpu_ms_per_request": "CPU of the database, a request",
    "cpu_ms_per_request": "CPU of a request",
    "capacity_per_s": "requests/s by CPU",
    "strays": "requests far slower than usual",
    "failures": "failed requests",
    "other_answers": "requests answered otherwise",
    "response_bytes": "size of an answer",
    "queries_per_request": "queries of a request",
    "valkey_commands_per_request": "Valkey commands of a request",
    "memory_growth_mb": "growth of memory",
}

_FIGURES = {
    "capacity_per_s": ("requests/s by CPU", ""),
    "invalidations_per_request": ("invalidations of the cache, a request", ""),
    "valkey_commands_per_request": ("Valkey commands, a request", ""),
    "queries_per_request": ("queries, a request", ""),
    "cpu_ms_per_request": ("CPU of a request", "ms"),
    "memory_bytes_per_request": ("memory that a request leaves", "bytes"),
    "plans_per_call": ("plans made, a database call", ""),
    "loop_lag_p90_ms": ("event loop late, p90", "ms"),
    "loop_lag_p99_ms": ("event loop late, p99", "ms"),
    "response_bytes": ("size of an answer", "bytes"),
    "buffers_per_call": ("pages, a call", ""),
    "rows_per_call": ("rows, a call", ""),
}

_PARTS = {
    "service": "the service itself",
    "pool": "waiting for a connection",
    "valkey": "Valkey",
    "database": "other statements",
    "queueing": "waiting to be sent",
}

TERMS = {
    "duet": "two variants up at once, the same requests sent to both, block by block",
    "base": "what is compared with: the baseline",
    "head": "what is judged",
    "block": "one repetition of a duet, with fresh processes and a fresh clone of the database",
    "knee": "the highest load that still keeps every budget",
    "custom plan": "made for the values of one call",
    "generic plan": "made once, for any values; PostgreSQL may change over to it after five calls",
    "pages": "of 8 kB, read from memory or disk: what a plan costs, whatever the machine",
    "p95": "95 of 100 requests were answered within this time",
}
"""The few terms that stay, each in a line."""


def check_words(check: str) -> str:
    """Return what a check looks at."""
    if check in _CHECKS:
        return _CHECKS[check]
    if check.startswith("duet_"):
        return f"in the duet: {check_words(check.removeprefix('duet_'))}"
    if check.endswith(_DIED):
        return f"times that {_who_died(check)} died"
    return check.replace("_", " ")


def trouble(check: ValidityCheck) -> tuple[str, str]:
    """Return in words what was wrong, and what to do."""
    given = getattr(check, "words", "")
    name = check.check.removeprefix("duet_")
    where = "while base and head were compared, " if name != check.check else ""
    said, mend = _TROUBLES.get(name) or _other_trouble(name, check)
    # Not str.format: a check's name may hold braces of its own.
    words = said.replace("{value}", number(check.value)).replace("{share}", percentage(check.value))
    return given or f"{where}{words}", mend


def _other_trouble(name: str, check: ValidityCheck) -> tuple[str, str]:
    if name.endswith(_DIED):
        return f"{_who_died(name)} died under the load", "see what its log says, and run again"
    return f"{check_words(name)}: {{value}}, and at most {number(check.limit)} can be borne", "run again"


def _who_died(check: str) -> str:
    role = check.removesuffix(_DIED)
    return _ROLES.get(role, role.replace("_", " "))


def budget_words(item: BudgetResult) -> str:
    """Return what a budget is on; of many under one name each is called by its own."""
    parts = item.metric.split(".")
    if parts[0] == "query" and len(parts) > 2:
        query = ".".join(parts[1:-1])
        return f"query {query}"
    return f"«{short(_statement(item.metric), longest=48)}»" if parts[0] == "statement" else item.name


def budget_metric(metric: str) -> str:
    """Return a metric as a table of budgets shows it; a statement's text can fill a page."""
    if not metric.startswith("statement."):
        return metric
    return f"statement.{short(_statement(metric), longest=60)}.mean_ms"


def _statement(metric: str) -> str:
    """Return the text of a statement; the list of what it selects tells it from few others."""
    return _SELECTED.sub("select … from ", metric.removeprefix("statement.").rpartition(".")[0])


def metric_words(metric: str) -> str:
    """Return a metric as a column shows it."""
    return _METRICS.get(metric, metric.removesuffix("_ms").replace("_", " "))


def figure_words(figure: str) -> tuple[str, str]:
    """Return what stands beside the times in a duet, and its unit."""
    return _FIGURES.get(figure, (figure.replace("_", " "), ""))


def part_words(part: str) -> str:
    """Return a part of a request's time as people call it; a query has its own name."""
    return _PARTS.get(part, part)


def sentence_case(text: str) -> str:
    """Begin a sentence with a capital, but leave a name as it is."""
    first = text.split(" ", 1)[0]
    return text if re.search(r"[._/0-9]", first) else text[:1].upper() + text[1:]


def subject_words(subject: str) -> str:
    """Return what is compared as a column shows it."""
    return "all endpoints" if subject == "all" else subject


def quantity(value: float | None, unit: Any) -> str:
    """Return a number with its unit."""
    if unit == "share" and value is not None:
        return percentage(value)
    return f"{number(value)} {unit or ''}".rstrip()
