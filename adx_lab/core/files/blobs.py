"""What the files of the data set contain: the same bytes for all of one size."""

from __future__ import annotations

import hashlib
from functools import lru_cache


def blob_name(size: int) -> str:
    """Return the name under which the store holds the sample of a size."""
    return f"samples/{size}"


def blob_bytes(size: int) -> bytes:
    """Return the sample of a size: not compressible, and the same each time."""
    return hashlib.shake_128(f"adx core {size}".encode()).digest(size)


@lru_cache
def blob_sha256(size: int) -> str:
    """Return the hash of the sample of a size."""
    return hashlib.sha256(blob_bytes(size)).hexdigest()
