"""What the core looked up in its L1 during a run, from the file of fixed-size rows that it appends to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENTS = ("miss", "hit", "put", "forget", "clear")
ROW = np.dtype(
    [
        *(("t", "<f8"), ("scope", "<i8"), ("item", "<i8"), ("worker", "<u4")),
        *(("family", "S11"), ("event", "u1")),
    ]
)
"""As `adx_lab.core.cache.trace` writes it; the two share no code, and a test holds them together."""


class TraceTail:
    """The core's trace from now on; without a path there is nothing to read.

    The file is emptied first: the core stops writing when it has reached its bound.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path if path is not None and path.exists() else None
        if self._path is not None:
            with self._path.open("r+b") as file:
                file.truncate(0)

    def read(self, began: float) -> dict[str, NDArray[Any]]:
        """Return the rows as the columns of the run's table, in the order in which they happened.

        Parameters
        ----------
        began
            The zero of the run's clock, in seconds since 1970: what came before it has a negative time.
        """
        raw = b"" if self._path is None else self._path.read_bytes()
        rows = np.frombuffer(raw, dtype=ROW, count=len(raw) // ROW.itemsize)
        # Each worker writes its own rows in order; between workers only the clock tells.
        rows = rows[np.argsort(rows["t"], kind="stable")]
        return {
            "t_s": rows["t"] - began,
            "scope": rows["scope"],
            "item": rows["item"],
            "worker": rows["worker"].astype(np.int32),
            "family": rows["family"].astype(str).astype(object),
            "event": np.array(EVENTS, dtype=object)[rows["event"]],
        }
