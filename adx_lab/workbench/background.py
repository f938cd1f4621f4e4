"""A thread with an event loop of its own.

A notebook's own loop is busy with the very cell that calls us, so that ``asyncio.run`` is refused there. The
stack's children live as long as this thread does: the kernel sends them their signal when it ends, however it
ends.
"""

from __future__ import annotations

import asyncio
import atexit
import queue
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import wait
from typing import Any, TypeVar

from adx_lab.progress import Progress

_Answer = TypeVar("_Answer")
_POLL_S = 0.1
_CLOSING_S = 60.0


class Background:
    """Runs coroutines in its own thread while the caller waits and shows their progress."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="adx-lab", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def call(self, work: Callable[[Progress], Awaitable[_Answer]]) -> _Answer:
        """Run ``work`` to its end and return its answer; an interrupted wait interrupts the work too."""
        told = _Told()
        ended = threading.Event()

        async def run() -> _Answer:
            try:
                return await work(told)
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        screen = _Screen()
        try:
            while not future.done():
                wait([future], timeout=_POLL_S)
                screen.show(told.drain())
        except BaseException:
            future.cancel()  # answers at once; what the work has to close takes its time
            ended.wait(_CLOSING_S)
            raise
        finally:
            screen.clear()
        return future.result()

    def close(self) -> None:
        """End the thread; whatever still runs in it should have been closed before."""
        atexit.unregister(self.close)
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Told:
    """What the work has to say, kept until the caller's thread shows it: a notebook draws from there only."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        self._lines.put(f"[{time.monotonic() - self._began:6.1f} s] {text}")

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        share = min(done / total, 1.0) if total > 0 else 1.0
        self._lines.put(f"           {label} {done:,.0f}/{total:,.0f} {unit} {share:.0%}")

    def drain(self) -> str | None:
        latest = None
        while not self._lines.empty():
            latest = self._lines.get_nowait()
        return latest


class _Screen:
    """One line that changes: in a notebook an output that is cleared at the end, elsewhere stderr."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._notebook = _in_notebook()

    def show(self, line: str | None) -> None:
        if line is None:
            return
        if not self._notebook:
            sys.stderr.write(f"{line}\n")
        elif self._handle is None:
            from IPython.display import display  # noqa: PLC0415  # only where there is one

            self._handle = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": line}, raw=True)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415  # it is there: the line above says so

    return getattr(get_ipython(), "kernel", None) is not None
