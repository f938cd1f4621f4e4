"""What EXPLAIN prints of a condition, as a tree.

PostgreSQL prints an expression back from its own tree, with every operator in parentheses and every cast
spelled out, so that what has to be told apart is little: columns, constants, parameters, operators, calls and
casts. What is more than that (CASE, a subplan) becomes an `Other`, which no index serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from adx_lab.analysis.plans.sql.tokens import Token, name_of, quoted_name, tokens_of


@dataclass(frozen=True, slots=True)
class Expression:
    """A part of a condition; ``sql`` is its text without the qualifiers of columns."""

    sql: str


@dataclass(frozen=True, slots=True)
class ColumnName(Expression):
    """A column, and the alias it was qualified with."""

    name: str
    qualifier: str = ""


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    """A literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Parameter(Expression):
    """A parameter of the statement: ``$1``."""

    number: int


@dataclass(frozen=True, slots=True)
class Operation(Expression):
    """An operator and what it is applied to: ``AND``, ``=``, ``IS NULL``, ``= ANY``."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """A function and its arguments."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast(Expression):
    """A value made another type's."""

    operand: Expression
    type: str


@dataclass(frozen=True, slots=True)
class Other(Expression):
    """Anything else, with the parts of it that could be read."""

    parts: tuple[Expression, ...] = field(default=())


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Return an expression's tree; never fails: what can't be read is an `Other`."""
    reader = _Reader(tokens_of(text))
    try:
        found = reader.expression(0)
        if reader.at_end():
            return found
    except (_UnreadableError, RecursionError):
        pass
    names = [ColumnName(quoted_name(name_of(t)), name_of(t)) for t in reader.tokens if t.kind == "name"]
    return Other(text, tuple(names))


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """Return what an expression is made of."""
    match expression:
        case Operation():
            return expression.operands
        case Call():
            return expression.arguments
        case Cast():
            return (expression.operand,)
        case Other():
            return expression.parts
        case _:
            return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything in it."""
    waiting = [expression]
    while waiting:
        item = waiting.pop()
        yield item
        waiting += parts_of(item)


def columns_of(expression: Expression) -> tuple[ColumnName, ...]:
    """Return the columns that an expression mentions, each once."""
    found = (item for item in walk(expression) if isinstance(item, ColumnName))
    return tuple({column.name: column for column in found}.values())


def is_fixed(expression: Expression) -> bool:
    """Tell whether an expression has one value for the whole scan: it mentions no column."""
    return not any(isinstance(item, ColumnName | Other) for item in walk(expression))


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """Return what must all hold."""
    if isinstance(expression, Operation) and expression.operator == "AND":
        return tuple(item for operand in expression.operands for item in conjuncts(operand))
    return (expression,)


class _UnreadableError(Exception):
    """The grammar ends here."""


_BINDING = {"OR": 1, "AND": 2, "NOT": 3, "IS": 4, "<": 5, ">": 5, "=": 5, "<=": 5, ">=": 5, "<>": 5, "!=": 5}
_NAMED = {"LIKE": 6, "ILIKE": 6, "IN": 6, "BETWEEN": 6, "SIMILAR": 6, "AT": 11, "COLLATE": 12}
_OTHERS, _SUM, _PRODUCT, _POWER, _CAST = 7, 8, 9, 10, 14
_ENDS = frozenset({"THEN", "ELSE", "END", "WHEN", "FROM", "FOR", "AS", "ASC", "DESC", "NULLS", "USING"})
_TYPE_WORDS = frozenset({"VARYING", "PRECISION", "WITH", "WITHOUT", "TIME", "ZONE"})
_SPELLED = frozenset({"EXTRACT", "TRIM", "SUBSTRING", "POSITION", "OVERLAY"})
_WITHIN = ("BOTH", "LEADING", "TRAILING", "FROM", "FOR", "IN", "PLACING", "SIMILAR", "ESCAPE")
_TRIMS = {"BOTH": "btrim", "LEADING": "ltrim", "TRAILING": "rtrim"}
_BEFORE_A_LITERAL = frozenset(
    {"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "INTERVAL", "BIT", "NUMERIC", "REGCLASS"}
)


class _Reader:
    """A precedence climber over tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.place = 0

    def at_end(self) -> bool:
        return self.place >= len(self.tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def is_mark(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == "mark" and token.text in texts

    def is_word(self, *words: str) -> bool:
        token = self.peek()
        return token is not None and token.word in words

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise _UnreadableError
        self.place += 1
        return token

    def expect(self, text: str) -> None:
        if self.take().text.upper() != text:
            raise _UnreadableError

    def expression(self, least: int) -> Expression:
        left = self.prefix()
        while (binding := self.binding()) > least:
            left = self.infix(left, binding)
        return left

    def binding(self) -> int:
        token = self.peek()
        if token is None:
            return 0
        if token.kind == "operator":
            return _BINDING.get(token.text) or {"+": _SUM, "-": _SUM, "^": _POWER}.get(
                token.text, _PRODUCT if token.text in {"*", "/", "%"} else _OTHERS
            )
        if token.kind == "mark":
            return _CAST if token.text in {"::", "["} else 0
        if token.word == "NOT":
            following = self.peek(1)
            return _NAMED.get(following.word, 0) if following else 0
        if token.word == "OPERATOR":
            return _OTHERS
        return _BINDING.get(token.word, 0) or _NAMED.get(token.word, 0)

    def infix(self, left: Expression, binding: int) -> Expression:
        token = self.take()
        if token.text == "::":
            return self.cast(left)
        if token.text == "[":
            index = self.until("]")
            return Other(f"{left.sql}[{index.sql}]", (left, index))
        if token.word in {"AND", "OR"}:
            return self.joined(left, token.word, binding)
        after = {"IS": self.test, "COLLATE": self.collate, "AT": self.at_zone}.get(token.word)
        return after(left) if after is not None else self.operation(left, token, binding)

    def joined(self, left: Expression, word: str, binding: int) -> Expression:
        before = left.operands if isinstance(left, Operation) and left.operator == word else (left,)
        operands = (*before, self.expression(binding))
        return Operation(f"({f' {word} '.join(_enclosed(item) for item in operands)})", word, operands)

    def collate(self, left: Expression) -> Expression:
        return Operation(f"({left.sql} COLLATE {self.take().text})", "COLLATE", (left,))

    def at_zone(self, left: Expression) -> Expression:
        self.expect("TIME")
        self.expect("ZONE")
        zone = self.expression(_NAMED["AT"])
        return Call(f"({left.sql} AT TIME ZONE {zone.sql})", "timezone", (zone, left))

    def operation(self, left: Expression, token: Token, binding: int) -> Expression:
        if token.word == "NOT":
            operator = f"NOT {self.take().word}"
        else:
            operator = token.word if token.kind == "name" and token.word != "OPERATOR" else ""
        if operator.rpartition(" ")[2] in {"IN", "BETWEEN", "SIMILAR"}:
            raise _UnreadableError  # EXPLAIN prints none of them
        operator = operator or self.operator_name(token)
        if self.is_word("ANY", "ALL"):
            quantifier = self.take().word
            self.expect("(")
            right = self.until(")")
            said = f"({left.sql} {operator} {quantifier} ({right.sql}))"
            return Operation(said, f"{operator} {quantifier}", (left, right))
        right = self.expression(binding)
        return Operation(f"({left.sql} {operator} {right.sql})", operator, (left, right))

    def operator_name(self, token: Token) -> str:
        if token.word != "OPERATOR":
            return token.text
        self.expect("(")
        while self.peek(1) is not None and self.peek(1).text == ".":  # type: ignore[union-attr]
            self.take()
            self.take()
        name = self.take().text
        self.expect(")")
        return name

    def test(self, left: Expression) -> Expression:
        words = ["IS"]
        if self.is_word("NOT"):
            words.append(self.take().word)
        words.append(self.take().word)
        if words[-1] == "DISTINCT":
            self.expect("FROM")
            operator = " ".join([*words, "FROM"])
            right = self.expression(_BINDING["IS"])
            return Operation(f"({left.sql} {operator} {right.sql})", operator, (left, right))
        if words[-1] not in {"NULL", "TRUE", "FALSE", "UNKNOWN"}:
            raise _UnreadableError
        return Operation(f"({left.sql} {' '.join(words)})", " ".join(words), (left,))

    def cast(self, left: Expression) -> Expression:
        words = [self.take().text]
        while self.is_mark(".") or (self.peek() is not None and self.peek().word in _TYPE_WORDS):  # type: ignore[union-attr]
            words.append(self.take().text)
            if words[-1] == ".":
                words.append(self.take().text)
        name = " ".join(words).replace(" . ", ".")
        if self.is_mark("("):
            self.take()
            name += f"({self.until(')').sql})"
            while self.peek() is not None and self.peek().word in _TYPE_WORDS:  # type: ignore[union-attr]
                name += f" {self.take().text}"
        following = self.peek(1)
        while self.is_mark("[") and following is not None and following.text == "]":
            self.take()
            self.take()
            name += "[]"
            following = self.peek(1)
        inner = left.sql if isinstance(left, Constant | Parameter | Cast | Call) else _enclosed(left)
        return Cast(f"{inner}::{name}", left, name)

    def until(self, closing: str) -> Expression:
        """Read one expression or a list, and the bracket after it."""
        if self.is_mark(closing):
            self.take()
            return Other("")
        items = [self.expression(0)]
        while self.is_mark(",", ":"):
            self.take()
            items.append(self.expression(0))
        self.expect(closing)
        return items[0] if len(items) == 1 else Other(", ".join(item.sql for item in items), tuple(items))

    def prefix(self) -> Expression:
        token = self.take()
        if token.kind in {"text", "number"}:
            return Constant(token.text, token.text)
        if token.kind == "parameter":
            return Parameter(token.text, int(token.text[1:]))
        if token.text == "(":
            return self.until(")")
        if token.kind == "operator":
            operand = self.expression(_POWER)
            if isinstance(operand, Constant):
                return Constant(f"'{token.text}{operand.sql}'", f"{token.text}{operand.value}")
            return Operation(f"({token.text} {operand.sql})", token.text, (operand,))
        if token.kind != "name" or token.word in _ENDS:
            raise _UnreadableError
        return self.named(token)

    def named(self, token: Token) -> Expression:
        word = token.word
        special = {
            "NOT": self.negation,
            "SUBPLAN": self.subquery,
            "INITPLAN": self.subquery,
            "HASHED": self.subquery,
            "CASE": self.case,
        }.get(word)
        if special is not None:
            return special(token)
        if word in {"TRUE", "FALSE", "NULL"} or (word.startswith("CURRENT_") and not self.is_mark("(")):
            return Constant(token.text, token.text)
        following = self.peek()
        if word in _BEFORE_A_LITERAL and following is not None and following.kind == "text":
            value = Constant(self.take().text, following.text)
            return Cast(f"{token.text} {value.sql}", value, word.lower())
        return self.reference(token)

    def negation(self, _: Token) -> Expression:
        operand = self.expression(_BINDING["NOT"])
        return Operation(f"(NOT {operand.sql})", "NOT", (operand,))

    def spelled(self, word: str) -> Expression:
        """Read what SQL has words of its own for: ``EXTRACT(year FROM x)``, ``TRIM(BOTH FROM x)``."""
        said: list[str] = []
        operands: list[Expression] = []
        if word == "EXTRACT":
            operands.append(Constant(self.take().text, self.tokens[self.place - 1].text))
            said.append(operands[0].sql)
        while not self.is_mark(")"):
            if self.is_word(*_WITHIN):
                said.append(self.take().word)
            elif self.is_mark(","):
                said[-1] += self.take().text
            else:
                operands.append(self.expression(_NAMED["IN"]))
                said.append(operands[-1].sql)
        self.take()
        function = _TRIMS.get(said[0], "btrim") if word == "TRIM" and said else word.lower()
        return Call(f"{word}({' '.join(said)})", function, tuple(operands))

    def subquery(self, token: Token) -> Expression:
        """Read ``InitPlan 1``, whose value is fixed before the scan, or ``SubPlan 1``, which isn't."""
        while self.peek() is not None and not self.is_mark(")"):
            self.take()
        self.take()
        while self.is_mark("."):
            self.take()
            self.take()
        self.place -= 1  # the bracket that encloses it is closed by whoever opened it
        self.tokens[self.place] = Token("mark", ")", token.begin, token.end)
        return Parameter("(InitPlan)", 0) if token.word == "INITPLAN" else Other("(SubPlan)")

    def case(self, token: Token) -> Expression:
        """Read to the END of a CASE, which no index serves as it stands."""
        depth, names = 1, []
        while depth:
            token = self.take()
            depth += (token.word == "CASE") - (token.word == "END")
            if token.kind == "name" and token.word not in _ENDS:
                names.append(ColumnName(quoted_name(name_of(token)), name_of(token)))
        return Other("CASE", tuple(names))

    def reference(self, token: Token) -> Expression:
        names = [token]
        while self.is_mark("."):
            self.take()
            names.append(self.take())
        if token.word == "ARRAY" and self.is_mark("["):
            self.take()
            inside = self.until("]")
            return Call(f"{token.text}[{inside.sql}]", name_of(token), _listed(inside))
        if self.is_mark("("):
            self.take()
            if token.word in _SPELLED and len(names) == 1:
                return self.spelled(token.word)
            inside = self.until(")")
            called = ".".join(item.text for item in names)
            return Call(f"{called}({inside.sql})", name_of(names[-1]), _listed(inside))
        if any(item.kind != "name" for item in names):
            return Other(names[0].text, (ColumnName(quoted_name(name_of(names[0])), name_of(names[0])),))
        qualifier = name_of(names[-2]) if len(names) > 1 else ""
        name = name_of(names[-1])
        return ColumnName(quoted_name(name), name, qualifier)


def _listed(inside: Expression) -> tuple[Expression, ...]:
    if isinstance(inside, Other) and not inside.sql:
        return ()
    return inside.parts if isinstance(inside, Other) and ", " in inside.sql else (inside,)


def _enclosed(expression: Expression) -> str:
    plain = isinstance(expression, ColumnName | Constant | Parameter | Call | Cast)
    return expression.sql if plain or expression.sql.startswith("(") else f"({expression.sql})"
