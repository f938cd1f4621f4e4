"""Plans as text, as psql prints them by default and auto_explain logs them.

Each line is a node, a property of the node above it that is indented less, the name of a subplan, or one of
the lines on the whole statement at the end. Where the text was wrapped, a line that can't begin anything goes
on with the one before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.reading.node_line import MASK, read_node
from adx_lab.analysis.plans.reading.properties import figure, fill_counters, read_property
from adx_lab.analysis.plans.tree import SUBPLAN, TASK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHOWN = r"[\dNX?*#x]"  # a digit, or what masks it
ANNOTATED = re.compile(
    rf"\((?:(?:cost|actual time)=(?:{_SHOWN}|\.)+?\.\.{_SHOWN}|actual rows={_SHOWN}|never executed\))"
)
_ARROW = re.compile(r"^(\s*)(?:->|└─|├─|→)\s*")
_TARGET = re.compile(r"^\s+(?:Foreign )?(?:Insert|Update|Delete|Merge) on [\w.\"]+(?: [\w\"]+)?\s*$")
_SUBPLAN = re.compile(r"^\s*((?:InitPlan|SubPlan)(?:\s+[^:]*)?|CTE\s+.+?)\s*$")
_WHOLE = re.compile(
    rf"^\s*((?:Planning|Execution) [Tt]ime|Total [Rr]untime): ([\d.]+|{MASK}(?:\.{MASK})?) ?ms"
)
_SECTION = re.compile(r"^\s*(Planning|JIT|Serialization|Triggers):\s*(.*)$")
_TRIGGER = re.compile(
    r"^\s*Trigger(?: (?!for constraint )(.+?))?(?: for constraint (.+?))?(?: on (.+?))?: "
    r"(?:time=([\d.]+) )?calls=(\d+(?:\.\d+)?)\s*$"
)
_ON_THE_STATEMENT = re.compile(r"^\s*(Settings|Query Identifier|Query Text|Query Parameters|Memory):\s*(.*)$")
_QUOTED = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'")
_WHOLE_NODE = re.compile(r"\((?:cost=|actual |never executed)[^()]*\)\s*$")
_OF_A_STATEMENT = (_WHOLE, _SECTION, _TRIGGER, _ON_THE_STATEMENT)
_APART = re.compile(rf"({TASK}|{SUBPLAN} \S+|MapMergeJob)\s*$")
_PROPERTY = re.compile(r"^\s*((?:Worker \d+|[A-Z][A-Za-z/\- ]{1,40})):(?:\s|$)")
_FINER = re.compile(r"^\s*(?:Sort Method|Buckets|Hits|Batches|Full-sort|Pre-sorted|Storage)\b")
_WORKER = re.compile(r"Worker (\d+):\s*(.*)$")
# Most lines are properties of a node: the first word tells which patterns needn't be tried.
_WRITES = ("Insert ", "Update ", "Delete ", "Merge ", "Foreign ")
_NAMES_A_SUBPLAN = ("InitPlan", "SubPlan", "CTE")
_ENDS_THE_NODES = (
    *("Planning", "Execution", "Total", "Trigger", "Settings", "Query", "Memory", "JIT", "Serialization"),
)
_ONE_BELOW = frozenset(
    {"Hash", "Sort", "Incremental Sort", "Limit", "Aggregate", "Group", "Unique", "Gather", "Gather Merge"}
    | {"WindowAgg", "Subquery Scan", "Materialize", "Memoize", "LockRows", "ProjectSet"}
)
_TWO_BELOW = frozenset({"Nested Loop", "Hash Join", "Merge Join", "Recursive Union"})
_STEPS = frozenset({2, 4, 6, 8, 12})
_WRAPPED_MAX = 8
_NO_PLAN = re.compile(
    r"^\s*(?:\(\d+ rows?\)|Time: [\d.,]+ ms.*|[\w.]+[=#>]+ .*|-- .*|"
    r"(?:explain|select|set|reset|drop|begin|rollback)\b.*)$",
    re.IGNORECASE,
)


@dataclass
class _Open:
    """What lines below may still belong to: a node, or what stands around some and has a name, ``apart``."""

    column: int
    node: dict[str, Any]
    apart: str = ""


@dataclass
class PlanText:
    """A plan that is being read, line after line."""

    body: dict[str, Any] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    subplan: str | None = None
    subplan_column: int = 0
    section: str = "node"
    worker: dict[str, Any] | None = None
    lines_used: int = 0
    last: tuple[dict[str, Any], str] | None = None
    skipped: int | None = None

    def add(self, line: str) -> bool:
        """Take a line; False where it does not belong to the plan."""
        arrow = _ARROW.match(line)
        if self.last is not None and self._is_open() and not (arrow and _WHOLE_NODE.search(line)):
            return self._goes_on(line.strip())
        if arrow is not None and self.stack:
            return self._node(line[arrow.end() :], len(arrow.group(1)))
        if not self.stack:
            return self._node(line[arrow.end() :] if arrow else line.strip(), -1)
        return self._after_root(line)

    def _node(self, text: str, column: int) -> bool:
        if self.stack and self.section != "node":
            return False
        apart = _APART.match(text) if self.stack else None
        node = {} if apart else read_node(text)
        if node is None:
            return False
        while self.stack and self.stack[-1].column >= column:
            self.stack.pop()
        if self.stack and not apart:
            self._attach(node, column)
        elif not apart and self.body:
            return False  # another plan's root
        elif not apart:
            self.body["Plan"] = node
        self.stack.append(_Open(column, node, apart.group(1) if apart else ""))
        self.worker, self.last, self.skipped = None, None, None
        return True

    def _attach(self, node: dict[str, Any], column: int) -> None:
        around = self.stack[-1]
        parent = next(item.node for item in reversed(self.stack) if not item.apart)
        below = parent.setdefault("Plans", [])
        if around.apart:
            self.subplan = None
            node["Parent Relationship"] = TASK if around.apart == TASK else SUBPLAN
            named = ("Task Node", "Node"), ("Remote SQL", "Query")
            node |= {key: around.node[said] for key, said in named if said in around.node}
            if around.apart != TASK:
                node["Subplan Name"] = around.apart
        elif self.subplan is not None and column > self.subplan_column > self.stack[-1].column:
            node["Subplan Name"] = self.subplan
            node["Parent Relationship"] = "SubPlan" if self.subplan.startswith("SubPlan") else "InitPlan"
        else:
            node["Parent Relationship"] = _relationship(parent, below)
            self.subplan = None
        below.append(node)

    def _after_root(self, line: str) -> bool:
        words = line.lstrip()
        if not words:
            return True
        if self.skipped is not None:
            if len(line) - len(words) > self.skipped:
                return True
            self.skipped = None
        if words.startswith(_WRITES) and _TARGET.match(line) and self.section == "node":
            return True  # the tables that a statement on a partitioned one writes to
        return (
            (words.startswith(_NAMES_A_SUBPLAN) and self._is_subplan(line))
            or (words.startswith(_ENDS_THE_NODES) and self._on_the_whole(line))
            or self._in_section(line)
            or self._property(line)
        )

    def _is_subplan(self, line: str) -> bool:
        match = _SUBPLAN.match(line)
        if match is None or self.section != "node":
            return False
        self.subplan = match.group(1)
        self.subplan_column = len(line) - len(line.lstrip())
        while len(self.stack) > 1 and self.stack[-1].column >= self.subplan_column:
            self.stack.pop()
        self.last = None
        return True

    def _on_the_whole(self, line: str) -> bool:
        indent = len(line) - len(line.lstrip())
        if any(item.apart and item.column < indent for item in self.stack):
            # What another server says of its whole statement is none of this one's.
            self.skipped = indent if any(kind.match(line) for kind in _OF_A_STATEMENT) else None
            return self.skipped is not None
        if match := _WHOLE.match(line):
            name = match.group(1).title().replace("Total Runtime", "Execution Time")
            if match.group(2)[0].isdigit():
                self.body[name] = float(match.group(2))
        elif match := _TRIGGER.match(line):
            names = dict(zip(("Trigger Name", "Constraint Name", "Relation"), match.groups(), strict=False))
            timed = {} if match.group(4) is None else {"Time": float(match.group(4))}
            trigger = {key: name for key, name in names.items() if name}
            self.body.setdefault("Triggers", []).append(trigger | timed | {"Calls": figure(match.group(5))})
        elif match := _ON_THE_STATEMENT.match(line):
            _on_the_statement(self.body, match.group(1), match.group(2))
        elif (match := _SECTION.match(line)) and indent <= self._base() + 1:
            self._begin_section(match.group(1), match.group(2))
            return True
        else:
            return False
        self.section = "statement"
        return True

    def _base(self) -> int:
        return self.stack[0].node.get("_indent", 0) if self.stack else 0

    def _begin_section(self, name: str, rest: str) -> None:
        self.section = name
        part: dict[str, Any] = {}
        if name == "Serialization":
            timed = re.search(r"time=([\d.]+) ms", rest)
            if timed:
                part["Time"] = float(timed.group(1))
        elif name == "Triggers":
            return
        self.body[name] = part

    def _in_section(self, line: str) -> bool:
        if self.section in {"node", "statement", "Triggers"}:
            return False
        part = self.body[self.section]
        words = line.strip()
        if self.section == "JIT":
            timing = re.match(r"Timing: (.*)", words)
            if timing:
                found = re.findall(r"(\w+) ([\d.]+) ms", timing.group(1))
                part["Timing"] = {name: float(ms) for name, ms in found}
                return True
            return re.match(r"(?:Functions|Options): ", words) is not None
        if re.match(r"(?:Buffers|I/O Timings|Memory): ", words):
            read_property(part, words)
            return True
        return False

    def _property(self, line: str) -> bool:
        if self.section != "node":
            return False
        indent = len(line) - len(line.lstrip())
        words = line.strip()
        if _NO_PLAN.match(line):
            return False
        if not (_PROPERTY.match(line) or _FINER.match(line)):
            return self._goes_on(words)
        node = self._owner(indent)
        worker = _WORKER.match(words)
        if worker:
            listed = node.setdefault("Workers", [])
            number = int(worker.group(1))
            self.worker = next((item for item in listed if item["Worker Number"] == number), None)
            if self.worker is None:
                self.worker = {"Worker Number": number, "_indent": indent}
                listed.append(self.worker)
            self.last = read_property(self.worker, worker.group(2))
        elif self.worker is not None and indent > self.worker["_indent"]:
            self.last = read_property(self.worker, words)
        else:
            self.worker = None
            self.last = read_property(node, words)
        return True

    def _owner(self, indent: int) -> dict[str, Any]:
        """Return the node that a property at this place belongs to."""
        for item in reversed(self.stack):
            if item.column < indent:
                return item.node
        return self.stack[0].node

    def _is_open(self) -> bool:
        """Tell whether the property before ends within a literal: its text holds a line break."""
        holder, key = self.last or ({}, "")
        value = holder.get(key)
        said = value[-1] if isinstance(value, list) and value else value
        return isinstance(said, str) and "'" in said and "'" in _QUOTED.sub("", said)

    def _goes_on(self, words: str) -> bool:
        """Add to the property before what is the rest of it: its text was wrapped or holds a line break."""
        if self.last is None:
            return False
        holder, key = self.last
        value = holder.get(key)
        if isinstance(value, str):
            holder[key] = f"{value} {words}"
        elif isinstance(value, list) and value:
            value[-1] = f"{value[-1]} {words}"
        return True


def read_plan_text(lines: Sequence[str]) -> tuple[dict[str, Any] | None, int]:
    """Read a plan that begins in the first line; return its document and how many lines it took.

    The document is as `EXPLAIN (FORMAT JSON)` would have it; None where there is no plan.
    """
    plan = PlanText()
    position = used = 0
    costs = any("(cost=" in line for line in lines[:3])
    while position < len(lines):
        joined, position = _whole_line(lines, position, costs=costs or not position)
        if not joined.strip() and not _continues(lines, position):
            break
        if not plan.add(joined):
            break
        used = position
        if position == 1 or (plan.stack and "_indent" not in plan.stack[0].node):
            plan.stack[0].node["_indent"] = len(joined) - len(joined.lstrip())
    if "Plan" not in plan.body:
        return None, max(1, used)
    return _finished(plan.body), used


def is_flat(root: Mapping[str, Any]) -> bool:
    """Tell whether a node has more below it than its kind can have: their lines lost what set them apart."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        below = [item for item in node.get("Plans", ()) if "Subplan Name" not in item]
        kind, most = node["Node Type"], len(below)
        if kind in _ONE_BELOW:
            most = 1
        elif kind in _TWO_BELOW and not any("Plans" in item for item in below):
            most = 2
        if len(below) > most:
            return True
        waiting += node.get("Plans", ())
    return False


def is_ragged(lines: Sequence[str]) -> bool:
    """Tell whether lines were moved each by itself, to the right or the middle of a column.

    What is said of a node stands at one distance from its arrow, and an arrow at one of few from that above,
    whatever became of the spaces of all lines.
    """
    distances: list[int] = []
    arrows: list[int] = []
    odd = False
    for line, following in pairwise([*lines, ""]):
        arrow, words = _ARROW.match(line), following.lstrip()
        if arrow is None:
            continue
        column = len(arrow.group(1))
        while arrows and arrows[-1] >= column:
            arrows.pop()
        odd = odd or (bool(arrows) and column - arrows[-1] not in _STEPS)
        arrows.append(column)
        if _PROPERTY.match(following) and not words.startswith((*_ENDS_THE_NODES, *_NAMES_A_SUBPLAN)):
            distances.append(len(following) - len(words) - column)
    return odd and len(set(distances)) > 2


def _continues(lines: Sequence[str], position: int) -> bool:
    """Tell whether a plan goes on after an empty line: its lines may be spaced."""
    if position >= len(lines):
        return False
    line = lines[position]
    begins = (_ARROW, _WHOLE, _SECTION, _TRIGGER, _SUBPLAN, _PROPERTY, _ON_THE_STATEMENT)
    return any(pattern.match(line) for pattern in begins)


def _whole_line(lines: Sequence[str], position: int, *, costs: bool) -> tuple[str, int]:
    """Put a node's line together that was wrapped within its name or its figures."""
    line = lines[position]
    position += 1
    wrapped = 0
    while wrapped < _WRAPPED_MAX and position < len(lines) and _is_cut(line, costs=costs):
        following = lines[position]
        if _ARROW.match(following) or _PROPERTY.match(following) or not following.strip():
            break
        line += following
        position += 1
        wrapped += 1
    return line, position


def _is_cut(line: str, *, costs: bool) -> bool:
    """Tell whether a node's line ends before its figures do."""
    if line.count("(") > line.count(")"):
        return bool(
            ANNOTATED.search(line)
            or _ARROW.match(line)
            or re.search(r"\((?:c|co|cos|cost=?|a|act\w*)$", line)
        )
    return costs and bool(_ARROW.match(line)) and not ANNOTATED.search(line)


def _relationship(parent: dict[str, Any], below: Sequence[dict[str, Any]]) -> str:
    kind = parent["Node Type"]
    plain = [item for item in below if "Subplan Name" not in item]
    if kind in {"Append", "Merge Append", "BitmapAnd", "BitmapOr", "ModifyTable"}:
        return "Outer" if kind == "ModifyTable" else "Member"
    if kind == "Subquery Scan":
        return "Subquery"
    return "Inner" if plain else "Outer"


def _on_the_statement(body: dict[str, Any], name: str, value: str) -> None:
    if name == "Settings":
        pairs = re.findall(r"([\w.]+) = '((?:[^']|'')*)'", value)
        body["Settings"] = {key: text.replace("''", "'") for key, text in pairs}
    elif name == "Query Identifier":
        body[name] = int(value) if re.fullmatch(r"-?\d+", value.strip()) else value
    elif name != "Memory":
        body[name] = value


def _finished(body: dict[str, Any]) -> dict[str, Any]:
    waiting: list[dict[str, Any]] = [body["Plan"]]
    nodes: list[dict[str, Any]] = []
    while waiting:
        node = waiting.pop()
        node.pop("_indent", None)
        for worker in node.get("Workers", ()):
            worker.pop("_indent", None)
        nodes.append(node)
        waiting += node.get("Plans", ())
    fill_counters(nodes)
    body.get("Planning", {}).pop("_buffered", None)
    return body
