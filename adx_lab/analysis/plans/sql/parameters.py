"""Which column each parameter of a statement is compared with, as its generic plan tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.sql.expression import (
    Cast,
    ColumnName,
    Expression,
    Operation,
    Parameter,
    parse,
    walk,
)
from adx_lab.analysis.plans.tree import flatten, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONDITIONS = ("Index Cond", "Recheck Cond", "Filter", "Hash Cond", "Merge Cond", "Join Filter")
_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>", "= ANY", "~~", "~~*"})


@dataclass(frozen=True, slots=True)
class ComparedParameter:
    """A parameter and the column it is compared with."""

    schema: str
    table: str
    column: str
    operator: str


def compared_parameters(plan: Mapping[str, Any]) -> dict[int, ComparedParameter]:
    """Return for each parameter of a plan the column that it is compared with, where it is.

    Parameters
    ----------
    plan
        The document's ``Plan``, made with VERBOSE.
    """
    tree = flatten(plan)
    tables = {
        text(node, "Alias"): (text(node, "Schema"), text(node, "Relation Name"))
        for node in tree.nodes
        if text(node, "Relation Name")
    }
    found: dict[int, ComparedParameter] = {}
    for node in tree.nodes:
        own = (text(node, "Schema"), text(node, "Relation Name"))
        for condition in (parse(text(node, key)) for key in _CONDITIONS if text(node, key)):
            for number, column, operator in _comparisons(condition):
                schema, table = tables.get(column.qualifier, own)
                if table:
                    found.setdefault(number, ComparedParameter(schema, table, column.name, operator))
    return found


def _comparisons(condition: Expression) -> Iterator[tuple[int, ColumnName, str]]:
    for item in walk(condition):
        if not isinstance(item, Operation) or item.operator not in _COMPARISONS or len(item.operands) != 2:
            continue
        left, right = (_bare(operand) for operand in item.operands)
        if isinstance(right, ColumnName) and isinstance(left, Parameter):
            left, right = right, left
        if isinstance(left, ColumnName) and isinstance(right, Parameter) and right.number > 0:
            yield right.number, left, item.operator


def _bare(expression: Expression) -> Expression:
    while isinstance(expression, Cast):
        expression = expression.operand
    return expression
