"""The index that serves a scan's conditions and its order, held against those that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adx_lab.analysis.plans.advice.served import ScannedTable, Served, expression_key, serve
from adx_lab.analysis.plans.sql.expression import ColumnName, conjuncts, parse
from adx_lab.analysis.plans.sql.tokens import quoted_name

_TRIGRAMS = "CREATE EXTENSION IF NOT EXISTS pg_trgm; "


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about a scan.

    ``indexes`` are statements that make what is missing, without CONCURRENTLY; empty where another way to
    write the condition is needed, or where what would serve is there already. ``words`` says it to people.
    """

    words: str
    indexes: tuple[str, ...] = ()
    by_range: bool = False
    columns: tuple[str, ...] = ()
    rewrites: bool = False


@dataclass(frozen=True, slots=True)
class Existing:
    """An index that is there."""

    name: str
    definition: str
    valid: bool = True


@dataclass(frozen=True, slots=True)
class _Index:
    """An index to be made."""

    method: str
    keys: tuple[str, ...]
    predicate: str = ""
    extension: str = ""
    include: tuple[str, ...] = ()

    def sql(self, target: str) -> str:
        using = "" if self.method == "btree" else f" USING {self.method}"
        include = f" INCLUDE ({', '.join(self.include)})" if self.include else ""
        where = f" WHERE {self.predicate}" if self.predicate else ""
        return f"CREATE INDEX ON {target}{using} ({', '.join(self.keys)}){include}{where}"


def advise(
    target: str,
    table: ScannedTable,
    conditions: Iterable[str],
    *,
    order: Sequence[str] = (),
    existing: Sequence[Existing] = (),
    partitioned: bool = False,
    wanted: Sequence[ColumnName] = (),
    by_blocks: bool = False,
) -> Advice | None:
    """Return what serves a scan; None where nothing is known that does.

    Parameters
    ----------
    target
        The table as SQL names it.
    conditions
        What the plan prints; all must hold.
    order
        Sort keys as the plan prints them, where rows are wanted in an order.
    existing
        The table's indexes, where they are known.
    partitioned
        Whether the table is a partitioned one, on which no index can be made concurrently.
    wanted
        What is asked for: an ordered index then holds it, so that the table need not be read.
    by_blocks
        Whether the rows lie in the order of what a range asks for: a summary of blocks is enough then, where
        no order is wanted.
    """
    parsed = [part for text in conditions for part in conjuncts(parse(text))]
    served = [item for part in parsed if (item := serve(part, table))]
    sort_keys = _sort_keys(order, table)
    usable = [item for item in served if not item.rewrite]
    rewrites = tuple(dict.fromkeys(item.rewrite for item in served if item.rewrite))
    indexes = [_holding(index, wanted) for index in _chosen(usable, sort_keys)]
    if by_blocks and not sort_keys and [item.use for item in usable] in (["range"], ["range", "range"]):
        indexes = [replace(index, method="brin", include=()) for index in indexes]
    if not indexes:
        return Advice("; ".join(rewrites), rewrites=True) if rewrites else None
    missing = [index for index in indexes if _there(index, existing) is None]
    if not missing:
        names = ", ".join(there for index in indexes if (there := _there(index, existing)))
        return Advice(f"{names} serves this and is not used: ANALYZE {target};", columns=_columns(usable))
    return Advice(
        _words([index.sql(target) for index in missing], missing, rewrites, concurrently=not partitioned),
        tuple(index.sql(target) for index in missing),
        by_range=not any(item.use in {"equal", "any"} for item in usable),
        columns=_columns(usable),
    )


def _holding(index: _Index, wanted: Sequence[ColumnName]) -> _Index:
    """Return an index that also holds what is asked for, where it can."""
    if index.method != "btree" or not wanted:
        return index
    held = {part.strip() for key in index.keys for part in _split(key)}  # a row's comparison is one key
    return replace(index, include=tuple(dict.fromkeys(item.sql for item in wanted if item.sql not in held)))


def condition_columns(table: ScannedTable, conditions: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that conditions compare with values, as SQL."""
    parsed = (part for text in conditions for part in conjuncts(parse(text)))
    served = [item for part in parsed if (item := serve(part, table))]
    return tuple(dict.fromkeys(quoted_name(item.column) for item in served if item.column))


def _columns(served: Sequence[Served]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.column for item in served if item.column))


def _chosen(served: Sequence[Served], order: Sequence[str]) -> list[_Index]:
    by_use: dict[str, list[Served]] = {}
    for item in served:
        by_use.setdefault(item.use, []).append(item)
    predicate = " AND ".join(dict.fromkeys(item.predicate for item in by_use.get("partial", ())))
    equal = [item.key for item in by_use.get("equal", ())]
    several = [item.key for item in by_use.get("any", ())]
    ranges = [item.key for item in by_use.get("range", ())]
    sorted_by = {key.partition(" ")[0] for key in order}
    keys = [key for key in equal if key not in sorted_by]
    if order and not several:
        keys += order
    else:
        keys += [key for key in several if key not in sorted_by] + list(order or ranges[:1])
    keys = list(dict.fromkeys(keys))
    if keys:
        return [_Index("btree", tuple(keys), predicate)]
    lookups = by_use.get("lookup", [])
    if lookups:
        return _of_lookup(lookups[0], predicate)
    if predicate:
        return [_Index("btree", (by_use["partial"][0].key,), predicate)]
    return []


def _of_lookup(item: Served, predicate: str) -> list[_Index]:
    if not item.arms:
        return [_Index(item.method, (item.key,), predicate, item.extension)]
    found: list[_Index] = []
    for arm in item.arms:
        inner = (
            _of_lookup(arm, predicate)
            if arm.arms
            else [_Index(arm.method, (arm.key,), predicate, arm.extension)]
        )
        found += [index for index in inner if index not in found]
    return found


def _words(
    statements: Sequence[str], missing: Sequence[_Index], rewrites: Sequence[str], *, concurrently: bool
) -> str:
    extension = _TRIGRAMS if any(index.extension for index in missing) else ""
    verb = "CREATE INDEX CONCURRENTLY" if concurrently else "CREATE INDEX"
    made = " ".join(f"{statement.replace('CREATE INDEX', verb, 1)};" for statement in statements)
    both = " (a BitmapOr puts them together)" if len(missing) > 1 else ""
    return f"{extension}{made}{both}{''.join(f' Also: {rewrite}' for rewrite in rewrites)}"


def _there(index: _Index, existing: Sequence[Existing]) -> str | None:
    """Return the name of a valid index that serves as well."""
    wanted = [_plain(key) for key in index.keys]
    for item in existing:
        method, keys, predicate = _defined(item.definition)
        covers = keys[: len(wanted)] == wanted if method == "btree" else keys == wanted
        held = keys + [_plain(key) for key in _split(_included(item.definition))]
        covers = covers and all(_plain(column) in held for column in index.include)
        if item.valid and method == index.method and covers and predicate in {"", _plain(index.predicate)}:
            return item.name
    return None


def _defined(definition: str) -> tuple[str, list[str], str]:
    match = re.search(r"USING (\w+) \((.*?)\)(?: INCLUDE .*?)?(?: WHERE (.*))?$", definition, re.DOTALL)
    if match is None:
        return "", [], ""
    keys = _split(match.group(2))
    return match.group(1), [_plain(key) for key in keys], _plain(match.group(3) or "")


def finds_equal(definition: str, columns: Sequence[str]) -> bool:
    """Tell whether an index leads to the rows whose columns have given values."""
    method, keys, predicate = _defined(definition)
    first = [key.removesuffix("desc") for key in keys[: len(columns)]]
    whole = not predicate or predicate in {f"{key}isnotnull" for key in first}
    return whole and method in {"btree", "hash"} and set(first) == {_plain(column) for column in columns}


def order_of(definition: str, *, backward: bool) -> tuple[str, ...]:
    """Return the order in which an index gives its rows, as sort keys; none where that isn't plain to say."""
    match = re.search(r"USING btree \((.*?)\)(?: INCLUDE .*?)?(?: WHERE .*)?$", definition, re.DOTALL)
    keys = [key.strip() for key in _split(match.group(1))] if match is not None else []
    if any("NULLS" in key for key in keys):
        return ()
    turned = [key.removesuffix(" DESC") if key.endswith(" DESC") else f"{key} DESC" for key in keys]
    return tuple(turned if backward else keys)


def _included(definition: str) -> str:
    match = re.search(r" INCLUDE \((.*?)\)", definition)
    return "" if match is None else match.group(1)


def _split(text: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(text[begin:position])
            begin = position + 1
    return [*parts, text[begin:]]


def _plain(text: str) -> str:
    """Return a key or a predicate so that two ways to write it compare equal."""
    text = re.sub(r"::[a-z ]+(?:\(\d+\))?", "", text.lower())
    return re.sub(r"[()\s\"]|asc|nullslast", "", text)


def _sort_keys(keys: Sequence[str], table: ScannedTable) -> list[str]:
    """Return sort keys as an index would have them; none where one of them can't be indexed."""
    found = []
    for key in keys:
        match = re.fullmatch(r"(.+?)((?: DESC)?(?: NULLS (?:FIRST|LAST))?)", key, re.DOTALL)
        assert match is not None
        expression = parse(match.group(1))
        if isinstance(expression, ColumnName):
            if not table.owns(expression):
                return []
            found.append(expression.sql + match.group(2))
        elif key_of := expression_key(expression, table):
            found.append(key_of + match.group(2))
        else:
            return []
    return found


def table_of(node: Mapping[str, object], types: Mapping[str, str] | None = None) -> ScannedTable:
    """Return what a scan's raw node says of its table."""
    relation = str(node.get("Relation Name") or "")
    return ScannedTable(str(node.get("Alias") or relation), relation, types or {})


def target_of(node: Mapping[str, object], parent: str | None = None) -> str:
    """Return the name of a scan's table as SQL needs it, with its schema where the plan says that."""
    schema = str(node.get("Schema") or "")
    name = quoted_name(parent or str(node.get("Relation Name") or ""))
    return f"{quoted_name(schema)}.{name}" if schema else name
