"""A node's properties in a plan as text, under the names that EXPLAIN's JSON has for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.reading.node_line import MASK, read_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

_LISTS = frozenset(
    {"Sort Key", "Presorted Key", "Group Key", "Output", "Params Evaluated", "Conflict Arbiter Indexes"}
)
_FLAGS = frozenset({"Disabled", "Inner Unique", "Single Copy"})
_BLOCKS = tuple(
    f"{kind} {what} Blocks"
    for kind in ("Shared", "Local", "Temp")
    for what in ("Hit", "Read", "Dirtied", "Written")
    if not (kind == "Temp" and what in {"Hit", "Dirtied"})
)
_BUFFERS = re.compile(r"(shared|local|temp)((?: (?:hit|read|dirtied|written)=\d+)+)")
_TIMINGS = re.compile(r"(?:(shared/local|shared|local|temp) )?((?:(?:read|write)=[\d.]+ ?)+)")
_PAIRS = {
    "Buckets": "Hash Buckets",
    "Hits": "Cache Hits",
    "Misses": "Cache Misses",
    "Evictions": "Cache Evictions",
    "Overflows": "Cache Overflows",
    "Memory Usage": "Peak Memory Usage",
    "Disk Usage": "Disk Usage",
    "Planned Partitions": "Planned Partitions",
    "exact": "Exact Heap Blocks",
    "lossy": "Lossy Heap Blocks",
    "records": "WAL Records",
    "fpi": "WAL FPI",
    "bytes": "WAL Bytes",
    "full": "WAL Buffers Full",
    "inserted": "Tuples Inserted",
    "updated": "Tuples Updated",
    "deleted": "Tuples Deleted",
    "skipped": "Tuples Skipped",
}
_COUNT = re.compile(r"(\w+)=(\d+)")
_FIGURE = re.compile(r"(-?\d+(?:\.\d+)?)(?: ?kB| b)?")
_SORTED = re.compile(rf"Sort Methods?: (.+?)  (Memory|Disk): (\d+|{MASK})\s*kB")
_STORED = re.compile(rf"Storage: (\w+)  Maximum Storage: (\d+|{MASK})\s*kB")
_COUNTS = re.compile(r"([A-Z][\w ]*?): (\d+)(?:kB)?(?: \(originally (\d+)\))?(?:  |$)")


def figure(text: str) -> int | float:
    """Return a printed number."""
    return float(text) if "." in text else int(text)


def read_property(holder: dict[str, Any], line: str) -> tuple[dict[str, Any], str] | None:
    """Put what a line says into a node; return where its text stands, if it may go on in the next line."""
    worker = read_worker(line) if line.startswith("actual ") else None
    if worker is not None:
        holder |= worker
        return None
    for reader in (_read_counters, _read_sort, _read_counts):
        if reader(holder, line):
            return None
    key, _, value = line.partition(":")
    value = value.strip()
    if key in _LISTS:
        holder.setdefault(key, [])
        holder[key] += split_list(value)
    elif known := _FIGURE.fullmatch(value):
        holder[key] = figure(known.group(1))
    elif key in _FLAGS:
        holder[key] = value == "true"
    else:
        holder[key] = value
    return holder, key


def _read_counters(holder: dict[str, Any], line: str) -> bool:
    if line.startswith("Buffers:"):
        for kind, figures in _BUFFERS.findall(line):
            for what, value in _COUNT.findall(figures):
                holder[f"{kind.title()} {what.title()} Blocks"] = int(value)
        holder["_buffered"] = True
        return True
    if line.startswith("I/O Timings:"):
        for kind, figures in _TIMINGS.findall(line.partition(":")[2]):
            prefix = {"shared/local": "Shared ", "": ""}.get(kind, f"{kind.title()} ")
            for what, value in re.findall(r"(read|write)=([\d.]+)", figures):
                holder[f"{prefix}I/O {what.title()} Time"] = float(value)
        return True
    if line.startswith(("WAL:", "Heap Blocks:", "Tuples:")):
        for what, value in _COUNT.findall(line):
            holder[_PAIRS.get(what, what)] = int(value)
        return True
    return False


def _read_sort(holder: dict[str, Any], line: str) -> bool:
    if line.startswith(("Full-sort Groups:", "Pre-sorted Groups:")):
        return True
    match = _SORTED.search(line) if line.startswith("Sort Method") else None
    if match is None:
        return False
    method, space, used = match.groups()
    known = {"Sort Space Used": int(used)} if used.isdigit() else {}
    holder |= {"Sort Method": method, "Sort Space Type": space} | known
    return True


def _read_counts(holder: dict[str, Any], line: str) -> bool:
    """Read lines of several counts: ``Buckets: 1024  Batches: 4  Memory Usage: 300kB``."""
    if line.startswith("Storage:"):
        match = _STORED.match(line)
        if match:
            holder["Storage"] = match.group(1)
            if match.group(2).isdigit():
                holder["Maximum Storage"] = int(match.group(2))
        return match is not None
    begins = line.startswith(("Buckets:", "Hits:", "Batches:", "Planned Partitions:", "Memory Usage:"))
    found = _COUNTS.findall(line) if begins else []
    if not found:
        return False
    hashed = "Buckets" in line
    for name, value, originally in found:
        key = _PAIRS.get(name, name)
        if name == "Batches":
            key = "Hash Batches" if hashed else "HashAgg Batches"
        holder[key] = int(value)
        if originally:
            holder[f"Original {key}"] = int(originally)
    return True


def split_list(text: str) -> list[str]:
    """Split at the commas that are not within brackets or quotes."""
    parts, depth, begin, quote = [], 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[begin:position].strip())
            begin = position + 1
    return [part for part in [*parts, text[begin:].strip()] if part]


def fill_counters(nodes: Sequence[dict[str, Any]]) -> None:
    """Give each node of a plan with buffers all of its counters: text leaves out those that are zero."""
    buffered = any("_buffered" in node for node in nodes)
    for node in nodes:
        node.pop("_buffered", None)
        for worker in node.get("Workers", ()):
            worker.pop("_buffered", None)
        if buffered:
            for key in _BLOCKS:
                node.setdefault(key, 0)
