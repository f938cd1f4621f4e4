"""Make any value fit its column: what does not is kept as what can be kept, and told.

Whoever fires Locust's ``request`` event may put anything into it. One odd value must cost neither its own
request nor those that it lies beside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

_SHOWN = 60

Misfits = Counter[tuple[str, str]]
"""How many values did not fit, by column and by the words that show one of them."""


def fit_columns(
    columns: Sequence[Sequence[Any]], schema: pa.Schema, misfits: Misfits, names: Sequence[Any]
) -> list[pa.Array]:
    """Return columns as Arrow arrays; where one can't be converted at once, value by value.

    Parameters
    ----------
    columns
        In the order of the schema.
    schema
        What they have to become.
    misfits
        Added to.
    names
        What each row's request is called, for the words of a misfit.
    """
    arrays = []
    for values, field in zip(columns, schema, strict=True):
        try:
            arrays.append(_array(values, field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            fitted = [_fit(value, field, misfits, name) for value, name in zip(values, names, strict=True)]
            arrays.append(pa.array(fitted, type=field.type))
    return arrays


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column; one that says the same all along (a variant, no error) costs a tenth of another."""
    first = values[0] if values else None
    if (first is None or type(first) in {str, int}) and values.count(first) == len(values):
        return pa.repeat(pa.scalar(first, type=kind), len(values))
    return pa.array(values, type=kind)


def show(value: Any) -> str:
    """Return a value in a few words that any file can hold, whatever it is."""
    try:
        shown = value if isinstance(value, str) else f"{type(value).__name__} {value!r}"
    except Exception:  # noqa: BLE001  # a repr of somebody else's may raise anything
        shown = type(value).__name__
    return writable(shown)[:_SHOWN]


def writable(text: str) -> str:
    """Return a text that UTF-8 can hold; what it can't is written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _fit(value: Any, field: pa.Field, misfits: Misfits, name: Any) -> Any:
    if value is None:
        return None
    try:
        pa.scalar(value, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        misfits[field.name, f"{show(value)} of {show(name)}"] += 1
        return _FITS[str(field.type)](value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return writable(str(value))
    except Exception:  # noqa: BLE001  # as above
        return type(value).__name__


def _number(value: Any) -> float:
    try:
        return float(value)
    except Exception:  # noqa: BLE001  # as above
        return math.nan


def _whole(bits: int) -> Callable[[Any], int]:
    def fit(value: Any) -> int:
        number = _number(value)
        return int(number) if math.isfinite(number) and abs(number) < 2 ** (bits - 1) else 0

    return fit


_FITS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "double": _number,
    "int16": _whole(16),
    "int64": _whole(64),
}
