"""The time of day for measuring: seconds since the epoch that a clock which is set does not move.

A time server, a person or a resumed machine sets the clock whenever it likes. What is measured goes by the
clock as it was when the process began, and by what has passed since.
"""

from __future__ import annotations

import time

_ZERO = time.time() - time.monotonic()


def now() -> float:
    """Return seconds since the epoch, which only go on."""
    return _ZERO + time.monotonic()


def moment(monotonic_s: float) -> float:
    """Return when that was, of a moment that was taken from `time.monotonic`."""
    return _ZERO + monotonic_s
