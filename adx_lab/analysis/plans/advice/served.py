"""What one condition asks of an index, or how it would have to be written so that one could serve it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from adx_lab.analysis.plans.advice.types import (
    has_unknown,
    is_unchanging,
    literal_type,
    method_for,
    relabelled,
)
from adx_lab.analysis.plans.sql.expression import (
    Call,
    Cast,
    ColumnName,
    Constant,
    Expression,
    Operation,
    Other,
    Parameter,
    walk,
)

Use = Literal["equal", "any", "range", "partial", "lookup"]
_SWAPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "@>": "<@", "<@": "@>", "&&": "&&"}
_EQUAL, _RANGES = {"=", "IS NOT DISTINCT FROM"}, {"<", ">", "<=", ">="}
_PATTERNS = {"~~", "~~*", "~", "~*", "!~~", "!~"}
_LOOKUPS = {"@>", "<@", "&&", "?", "?|", "?&", "@@", "@?", "<<", ">>", "<<=", ">>=", "-|-", "~=", "@", "%"}
_TRIGRAM = 3


@dataclass(frozen=True, slots=True)
class Served:
    """What would serve a condition.

    ``key`` is the index's column or expression, with its operator class; ``predicate`` what a partial index
    would say; ``method`` how it is built. ``rewrite`` is what to write instead, where no index serves it as
    it stands; ``column`` names what is compared, for messages.
    """

    use: Use
    key: str = ""
    method: str = "btree"
    predicate: str = ""
    rewrite: str = ""
    extension: str = ""
    column: str = ""
    arms: tuple[Served, ...] = ()


@dataclass(frozen=True, slots=True)
class ScannedTable:
    """What is known of a scan's table: the alias that its columns have, and their types where known."""

    alias: str
    relation: str
    types: Mapping[str, str]

    def owns(self, column: ColumnName) -> bool:
        """Tell whether a column is this table's."""
        return column.qualifier in {"", self.alias, self.relation}


def serve(condition: Expression, table: ScannedTable) -> Served | None:
    """Return what serves a condition of a scan; None where nothing is known that does."""
    if isinstance(condition, Call) and condition.function == "starts_with" and len(condition.arguments) == 2:
        return _beginning_with(*condition.arguments, table)
    if isinstance(condition, ColumnName) and table.owns(condition):
        return Served("partial", condition.sql, predicate=condition.sql, column=condition.name)
    if not isinstance(condition, Operation):
        return None
    special: dict[str, Callable[[Operation, ScannedTable], Served | None]] = {
        "NOT": _negation,
        "OR": _alternatives,
        "IS NULL": _null,
        "IS NOT NULL": _null,
        "IS TRUE": _null,
        "IS FALSE": _null,
        "<>": _other_than,
    }
    if condition.operator in special:
        return special[condition.operator](condition, table)
    return _comparison(condition, table) if len(condition.operands) == 2 else None


def _negation(condition: Operation, table: ScannedTable) -> Served | None:
    (inner,) = condition.operands
    if isinstance(inner, ColumnName) and table.owns(inner):
        return Served("partial", inner.sql, predicate=condition.sql, column=inner.name)
    if isinstance(inner, Operation) and inner.operator == "IS DISTINCT FROM":
        left, right = inner.operands
        if isinstance(left, ColumnName) and _is_fixed(right, table):
            return Served("equal", rewrite=f"write {left.sql} = {right.sql}", column=left.name, key=left.sql)
    return None


def _null(condition: Operation, table: ScannedTable) -> Served | None:
    (inner,) = condition.operands
    if not isinstance(inner, ColumnName) or not table.owns(inner):
        return None
    return Served("partial", inner.sql, predicate=condition.sql.strip("()"), column=inner.name)


def _other_than(condition: Operation, table: ScannedTable) -> Served | None:
    left, right = condition.operands
    column = _bare(left)
    if isinstance(column, ColumnName) and table.owns(column) and isinstance(_bare(right), Constant):
        return Served("partial", column.sql, predicate=condition.sql.strip("()"), column=column.name)
    return None


def _alternatives(condition: Operation, table: ScannedTable) -> Served | None:
    """Serve an OR by an index for each of its arms, which a BitmapOr puts together."""
    arms = [_arm(operand, table) for operand in condition.operands]
    if any(arm is None or arm.use == "partial" or arm.rewrite for arm in arms):
        return None
    return Served("lookup", arms=tuple(arm for arm in arms if arm is not None))


def _arm(operand: Expression, table: ScannedTable) -> Served | None:
    if isinstance(operand, Operation) and operand.operator == "AND":
        found = [item for part in operand.operands if (item := serve(part, table))]
        order = ("equal", "any", "lookup", "range")
        useful = [item for item in found if item.use in order and not item.rewrite]
        best = min(useful, key=lambda item: order.index(item.use), default=None)
        if best is None or best.use not in {"equal", "any"}:
            return best
        keys = [item.key for item in useful if item.use == "equal"]
        keys += [item.key for item in useful if item.use in {"any", "range"}][:1]
        return replace(best, key=", ".join(dict.fromkeys(keys)))
    return serve(operand, table)


def _comparison(condition: Operation, table: ScannedTable) -> Served | None:
    left, right = condition.operands
    operator = condition.operator
    if operator == "= ANY" and _is_fixed(left, table) and isinstance(right, ColumnName) and table.owns(right):
        array = f"{right.sql} @> ARRAY[{left.sql}]"
        rewrite = f"write {array}; an index USING gin ({right.sql}) then serves it"
        return Served("lookup", right.sql, "gin", rewrite=rewrite, column=right.name)
    if _is_fixed(left, table) and not _is_fixed(right, table) and operator in _SWAPPED:
        left, right, operator = right, left, _SWAPPED[operator]
    if not _is_fixed(right, table):
        return _between_columns(condition, left, right, table)
    kind = operator.split()[0]
    if isinstance(left, Call) and left.function == "row":
        return _row(left, operator, table)
    if kind in _PATTERNS:
        return _pattern(left, right, kind, table)
    if operator in {"^@", *_LOOKUPS}:
        served = _beginning_with if operator == "^@" else partial(_lookup, operator=operator)
        return served(left, right, table=table)
    uses: dict[str, Use] = {
        **dict.fromkeys(_EQUAL, "equal"),
        **dict.fromkeys(_RANGES, "range"),
        "= ANY": "any",
    }
    return _ordered(left, right, uses[operator], table) if operator in uses else None


def _between_columns(
    condition: Operation, left: Expression, right: Expression, table: ScannedTable
) -> Served | None:
    """Serve a comparison of a row's own columns by a partial index that says the same."""
    columns = [item for item in (left, right) if isinstance(item, ColumnName) and table.owns(item)]
    if len(columns) == 2 and condition.operator in _EQUAL | _RANGES:
        predicate = condition.sql.strip("()")
        return Served("partial", columns[0].sql, predicate=predicate, column=columns[0].name)
    return None


def _row(left: Call, operator: str, table: ScannedTable) -> Served | None:
    columns = [item for item in left.arguments if isinstance(item, ColumnName) and table.owns(item)]
    if len(columns) < len(left.arguments) or operator not in _RANGES:
        return None
    return Served("range", ", ".join(item.sql for item in columns), column=columns[0].name)


def _ordered(left: Expression, right: Expression, use: Use, table: ScannedTable) -> Served | None:
    """Serve an equality or a range by a btree on the column or on the expression."""
    column = _bare(left)
    if isinstance(left, ColumnName):
        return Served(use, left.sql, column=left.name) if table.owns(left) else None
    if isinstance(left, Cast) and isinstance(column, ColumnName) and table.owns(column):
        return _cast(left, column, right, use, table)
    if not _own_columns(left, table):
        return None
    if any(isinstance(item, Parameter) for item in walk(left)):
        made = f"index the expression {left.sql} with the constant in the place of its parameter"
        return Served(use, rewrite=made, column=_own_columns(left, table)[0].name)
    if not is_unchanging(left, right, table.types):
        return Served(use, rewrite=_as_range(left), column=_own_columns(left, table)[0].name)
    return Served(use, _expression_key(left), column=_own_columns(left, table)[0].name)


def _cast(left: Cast, column: ColumnName, right: Expression, use: Use, table: ScannedTable) -> Served:
    """Tell a cast that only says what a varchar is anyway from one that keeps an index from being used."""
    if relabelled(left, column, right, table.types):
        return Served(use, column.sql, column=column.name)
    if left.type == "date" or left.type.startswith("timestamp"):
        day = (
            f"write {column.sql} >= day AND {column.sql} < day + 1; an index on ({column.sql}) then serves it"
        )
        return Served(use, rewrite=day, column=column.name)
    own = table.types.get(column.name)
    of_type = f", {own}," if own else ""
    rewrite = (
        f"compare {column.sql} with a value of its own type{of_type} instead of casting it to {left.type}; "
        f"an index on ({column.sql}) then serves it"
    )
    return Served(use, rewrite=rewrite, column=column.name)


def _pattern(left: Expression, right: Expression, operator: str, table: ScannedTable) -> Served | None:
    """Serve LIKE and regular expressions: by a btree for a known beginning, else by trigrams."""
    if operator.startswith("!") or not _own_columns(left, table):
        return None
    column = _bare(left)
    name = _own_columns(left, table)[0].name
    plain = isinstance(column, ColumnName) and (
        isinstance(left, ColumnName) or relabelled(left, column, right, table.types)
    )
    key = _bare(left).sql if plain else _expression_key(left)
    if literal_type(right) == "citext":
        rewrite = (
            f"write {column.sql}::text ILIKE; trigrams (gin_trgm_ops) of ({column.sql}::text) then serve it"
        )
        return Served("lookup", rewrite=rewrite, column=name)
    pattern = _pattern_text(right)
    beginning = None if pattern is None else _beginning(pattern, operator)
    if beginning and operator in {"~~", "~"}:
        return Served("range", f"{key} text_pattern_ops", column=name)
    if pattern is not None and max(map(len, _literals(pattern)), default=0) < _TRIGRAM:
        return None
    return Served("lookup", f"{key} gin_trgm_ops", "gin", extension="pg_trgm", column=name)


def _beginning_with(left: Expression, right: Expression, table: ScannedTable) -> Served | None:
    """Serve a known beginning by a btree that compares letter by letter."""
    owned = _own_columns(left, table)
    if not owned or not _is_fixed(right, table):
        return None
    key = _bare(left).sql if isinstance(_bare(left), ColumnName) else _expression_key(left)
    return Served("range", f"{key} text_pattern_ops", column=owned[0].name)


def _pattern_text(right: Expression) -> str | None:
    value = _bare(right)
    if not isinstance(value, Constant) or not value.value.startswith("'"):
        return None
    return value.value[1:-1].replace("''", "'")


def _beginning(pattern: str, operator: str) -> str:
    if operator == "~~":
        return re.split(r"[%_\\]", pattern)[0]
    match = re.match(r"\^([A-Za-z0-9 _@:/,-]+)(?![*?{+])", pattern)
    return match.group(1) if match and "|" not in pattern else ""


def _literals(pattern: str) -> list[str]:
    """Return the stretches of a pattern that stand for themselves."""
    without_sets = re.sub(r"\[[^\]]*\]|\\.|.[*?]", "%", pattern)
    return re.findall(r"[\w ]+", re.sub(r"[%^$.|(){}+]", "\n", without_sets).replace("_", "\n"))


def _lookup(left: Expression, right: Expression, table: ScannedTable, *, operator: str) -> Served | None:
    """Serve containment, overlap, text search and the like by GIN or GiST, as the type has it."""
    owned = _own_columns(left, table)
    if not owned:
        return None
    column = _bare(left)
    type_name = table.types.get(column.name, "") if isinstance(column, ColumnName) else ""
    found = method_for(operator, type_name or literal_type(right), left)
    if found is None:
        return None
    method, operator_class, extension = found
    key = column.sql if isinstance(column, ColumnName) else _expression_key(left)
    return Served(
        "lookup", f"{key} {operator_class}".strip(), method, extension=extension, column=owned[0].name
    )


def expression_key(expression: Expression, table: ScannedTable) -> str | None:
    """Return an expression as an index's key; None where an index can't hold it."""
    if not _own_columns(expression, table) or not is_unchanging(expression, expression, table.types):
        return None
    return _expression_key(expression)


def _expression_key(expression: Expression) -> str:
    called = isinstance(expression, Call) and expression.function not in {"extract", "timezone", "array"}
    return expression.sql if called or isinstance(expression, Operation) else f"({expression.sql})"


def _as_range(left: Expression) -> str:
    if has_unknown(left):
        return f"an index on ({_expression_key(left)}) serves it where its functions are IMMUTABLE"
    columns = [item.sql for item in walk(left) if isinstance(item, ColumnName)]
    name = columns[0] if columns else "the column"
    return (
        f"compare {name} itself with values, such as {name} >= from AND {name} < to: its expression can "
        f"change with settings and so can't be indexed; an index on ({name}) then serves it"
    )


def _own_columns(expression: Expression, table: ScannedTable) -> list[ColumnName]:
    found = [item for item in walk(expression) if isinstance(item, ColumnName | Other)]
    if any(isinstance(item, Other) for item in found):
        return []
    columns = [item for item in found if isinstance(item, ColumnName)]
    return columns if all(table.owns(column) for column in columns) else []


def _is_fixed(expression: Expression, table: ScannedTable) -> bool:
    """Tell whether something has one value for a whole scan: no column of this table in it."""
    items = list(walk(expression))
    if any(isinstance(item, Other) and not item.parts and item.sql == "(SubPlan)" for item in items):
        return False
    return not any(isinstance(item, ColumnName) and table.owns(item) for item in items)


def _bare(expression: Expression) -> Expression:
    while isinstance(expression, Cast):
        expression = expression.operand
    return expression
