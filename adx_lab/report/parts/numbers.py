"""Numbers as people read them: three significant digits, never ten."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Return a number with three significant digits and separated thousands; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval(low: float | None, high: float | None) -> str:
    """Return an interval's ends; an open end is said as such, and so is a value that was read off."""
    if low is None and high is None:
        return "–"
    if low == high:
        return "exact"
    return f"{'…' if low is None else number(low)} to {'…' if high is None else number(high)}"
