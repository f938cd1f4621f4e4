"""What came of trying an index, in words: whether it helps, what it takes, and what it costs writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_HELPS_MAX = 0.9


def key_of(query: str, indexes: Any) -> str:
    """Return what a trial is found by."""
    return "\n".join([query, *map(str, indexes)])


def helps(trial: Mapping[str, Any]) -> bool:
    """Tell whether the planner takes the index, and gains by it."""
    if trial.get("error") or not trial.get("used"):
        return False
    figure = "ms" if trial["before"].get("ms") is not None else "cost"
    return bool(trial["after"][figure] < trial["before"][figure] * _HELPS_MAX)


def words_of(trial: Mapping[str, Any] | None, mend: str) -> str:
    """Return a mend with what trying it showed; one that did not help is not advised."""
    if trial is None:
        return mend
    if trial.get("error"):
        return f"{mend} (not tried: {trial['error']})"
    if not helps(trial):
        made = "; ".join(map(str, trial["indexes"]))
        return f"no index that was tried {trial['how']} helps ({made}): narrow what is asked for"
    before, after = trial["before"], trial["after"]
    told = [f"cost {before['cost']:,.0f} -> {after['cost']:,.0f}"]
    if before.get("pages") is not None:
        told.append(f"pages {before['pages']:,} -> {after['pages']:,}")
    if before.get("ms") is not None:
        told.append(f"{before['ms']:,.2f} -> {after['ms']:,.2f} ms")
    told.append(f"{trial['bytes'] / 2**20:,.1f} MB")
    if trial.get("writes") is not None:
        there, written = trial["indexes_there"], trial["writes"]
        told.append(f"one entry more a write, beside {there} indexes; {written:,} writes so far")
    return f"{mend} (tried {trial['how']}: {'; '.join(told)})"
