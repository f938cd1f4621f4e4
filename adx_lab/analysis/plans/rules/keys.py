"""Rules on what a statement sets off: triggers, and above all the checks of foreign keys.

Whoever deletes a row, or changes its key, has each foreign key that refers to it looked for in the referring
table, once a row. No plan shows how: EXPLAIN has only the trigger's time, and without ANALYZE nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.plans.advice.indexes import finds_equal
from adx_lab.analysis.plans.records import PlanFinding
from adx_lab.analysis.plans.rules.place import amount, table_key
from adx_lab.analysis.plans.sql.tokens import quoted_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode, Trigger
    from adx_lab.analysis.plans.rules.context import Context, ForeignKey

_WHICH = "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{name}';"


def unguarded_keys(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find a statement, not executed, that would have a whole table searched for each row it deletes."""
    return [
        _unguarded(node, key, context)
        for node in analysis.nodes
        if node.type == "ModifyTable" and node.details.get("Operation") == "Delete" and not analysis.analysed
        for key in _open_keys(context)
        if key.references == table_key(node) and _rows(context, key) >= context.thresholds.rows_read_min
    ]


def triggers(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find triggers that are slow at each call: a foreign key without an index is the usual cause."""
    return [_slow(item, analysis, context) for item in analysis.triggers if _is_slow(item, context)]


KEY_RULES: tuple[Callable[[PlanAnalysis, Context], list[PlanFinding]], ...] = (triggers, unguarded_keys)


def _unguarded(node: PlanNode, key: ForeignKey, context: Context) -> PlanFinding:
    rows = amount(_rows(context, key))
    reason = f"each row that is deleted is looked for in all {rows} rows of {key.table}, which refers to it"
    evidence = {"indexes": (_index(key),), "referring": _referring(key)}
    return PlanFinding("foreign_key", node.path, node.label, reason, _made(key, context), evidence)


def _is_slow(item: Trigger, context: Context) -> bool:
    limits = context.thresholds
    return bool(item.calls) and item.ms >= max(limits.trigger_ms_min, item.calls * limits.trigger_call_ms_min)


def _slow(item: Trigger, analysis: PlanAnalysis, context: Context) -> PlanFinding:
    key = next((key for key in _open_keys(context) if _keeps(item, key)), None)
    evidence: dict[str, object] = {"calls": item.calls, "ms": item.ms}
    if key is not None and _deletes_or_changes(analysis):
        mend = _made(key, context)
        evidence |= {"indexes": (_index(key),), "referring": _referring(key)}
    elif not item.is_constraint:
        mend = "look at what its function does: an INSERT or UPDATE of its own, a query without an index"
    elif _deletes_or_changes(analysis):
        mend = "index the columns of the foreign key in the table that refers to this one, where none does; "
        mend += _WHICH.format(name=item.name.replace("'", "''"))
    else:
        mend = "the row that is referred to is found by its key: what takes that long is waiting for its lock"
    reason = f"{amount(item.calls)} calls took {item.ms:.1f} ms, {item.ms / item.calls:.2f} ms each"
    return PlanFinding("trigger", "0", f"trigger {item.name}", reason, mend, evidence)


def _keeps(item: Trigger, key: ForeignKey) -> bool:
    own = item.relation is None or item.relation == key.references.rpartition(".")[2]
    return item.is_constraint and item.name == key.name and own


def _deletes_or_changes(analysis: PlanAnalysis) -> bool:
    written = {node.details.get("Operation") for node in analysis.nodes if node.type == "ModifyTable"}
    return bool(written & {"Delete", "Update", "Merge"})


def _open_keys(context: Context) -> Iterator[ForeignKey]:
    """Yield the foreign keys whose columns no valid index begins with."""
    for key in context.foreign_keys:
        there = (index.definition for index in context.indexes.get(key.table, ()) if index.valid)
        if not any(finds_equal(definition, key.columns) for definition in there):
            yield key


def _rows(context: Context, key: ForeignKey) -> float:
    """Return how many rows refer, as the planner believes; of a partitioned table all together."""
    parts = [facts.rows for facts in context.tables.values() if facts.partition_of == key.table]
    table = context.tables.get(key.table)
    return max(sum(parts), -1.0 if table is None else table.rows)


def _index(key: ForeignKey) -> str:
    columns = ", ".join(map(quoted_name, key.columns))
    return f"CREATE INDEX ON {_target(key)} ({columns})"


def _made(key: ForeignKey, context: Context) -> str:
    partitioned = any(facts.partition_of == key.table for facts in context.tables.values())
    verb = "CREATE INDEX" if partitioned else "CREATE INDEX CONCURRENTLY"
    return f"{_index(key).replace('CREATE INDEX', verb, 1)};"


def _referring(key: ForeignKey) -> dict[str, object]:
    """Return what the server looks for: rows of a table by some of its columns, as SQL names them."""
    return {"table": _target(key), "columns": tuple(map(quoted_name, key.columns))}


def _target(key: ForeignKey) -> str:
    """Return the name of the referring table for SQL."""
    schema, _, table = key.table.rpartition(".")
    return f"{quoted_name(schema or 'public')}.{quoted_name(table)}"
