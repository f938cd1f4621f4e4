"""What the embedded PostgreSQL wrote to its log during a run: the plans of slow queries among it."""

from __future__ import annotations

from pathlib import Path

_SIZE_MAX = 20_000_000


class LogTail:
    """A log from where it ends now; without a path there is nothing to read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._begin = path.stat().st_size if path is not None and path.exists() else 0

    def read(self) -> str:
        """Return what was added, the first 20 MB of it: a service that slow has said enough."""
        if self._path is None or not self._path.exists():
            return ""
        with self._path.open("rb") as log:
            log.seek(self._begin)
            return log.read(_SIZE_MAX).decode("utf-8", errors="replace")
