"""Alerts: p95 of responses and queries, memory and errors, each told once, and once more when it is over.

The main process watches for all workers together, in a thread: it has nothing else to do, and so there is one
alert and not one a worker. The thresholds are on the 95th percentile, since an average hides the tail.
"""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.request
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from adx_lab.core.monitoring.logs import log
from adx_lab.core.monitoring.metrics import BOUNDS_MS, Labels, Memory, totals

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from adx_lab.core.settings import AlertSettings, Settings

Totals = dict[tuple[str, str, Labels], list[float]]
_CALM = 0.9  # an alert is over below this share of its threshold, so that it does not flutter
_TRIES = 3
_logger = logging.getLogger("adx_lab.core.monitoring.alerts")


class Alert(msgspec.Struct, frozen=True):
    """What is told: ``state`` is ``firing`` or ``resolved``."""

    alert: str
    state: str
    value: float
    threshold: float
    window_s: float


class Watch:
    """Compares what happened within the window with the thresholds, and remembers what it told."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._seen: deque[tuple[float, Totals]] = deque()
        self._firing: set[str] = set()
        self._thresholds = {
            "response_p95_ms": settings.response_p95_ms,
            "query_p95_ms": settings.query_p95_ms,
            "error_rate": settings.error_rate,
            "memory_bytes": settings.memory_bytes,
        }

    def look(self, now_s: float, seen: Totals) -> list[Alert]:
        """Take the totals of this moment, and return what has to be told."""
        self._seen.append((now_s, seen))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self._settings.window_s:
            self._seen.popleft()
        values = self._values(self._seen[0][1], seen)
        return [alert for name, value in values.items() for alert in self._judge(name, value)]

    def _judge(self, name: str, value: float) -> list[Alert]:
        threshold = self._thresholds[name]
        if name not in self._firing and value > threshold:
            self._firing.add(name)
            return [Alert(name, "firing", value, threshold, self._settings.window_s)]
        if name in self._firing and value <= threshold * _CALM:
            self._firing.remove(name)
            return [Alert(name, "resolved", value, threshold, self._settings.window_s)]
        return []

    def _values(self, then: Totals, now: Totals) -> dict[str, float]:
        requests = _grown(then, now, "http_requests_total")
        answered = sum(requests.values())
        failed = sum(count for labels, count in requests.items() if dict(labels)["status"] >= "500")
        enough = answered >= self._settings.requests_min
        memory = sum(values[0] for key, values in now.items() if key[1] == "memory_usage_bytes")
        return {
            "response_p95_ms": _p95(then, now, "http_request_duration_ms") if enough else 0.0,
            "query_p95_ms": _p95(then, now, "db_query_duration_ms") if enough else 0.0,
            "error_rate": failed / answered if enough else 0.0,
            "memory_bytes": memory,
        }


def watch_forever(settings: Settings, memory: Memory, stop: threading.Event) -> None:
    """Look every few seconds until told to stop; tell the log and the webhook."""
    watch = Watch(settings.alerts)
    while not stop.wait(settings.alerts.every_s):
        for alert in watch.look(time.monotonic(), totals(memory)):
            log(_logger, logging.WARNING, f"alert {alert.state}", **msgspec.structs.asdict(alert))
            if settings.alerts.webhook_url:
                _tell(settings.alerts.webhook_url, alert, stop.wait)


def _tell(url: str, alert: Alert, wait: Callable[[float], bool]) -> None:
    request = urllib.request.Request(
        url, msgspec.json.encode(alert), {"content-type": "application/json"}, method="POST"
    )
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (OSError, urllib.error.URLError) as error:
            log(_logger, logging.WARNING, "the webhook failed", error=str(error), attempt=attempt + 1)
            wait(0.5 * 2**attempt)


def _grown(then: Totals, now: Totals, name: str) -> dict[Labels, float]:
    return {
        key[2]: values[0] - then.get(key, [0.0])[0]
        for key, values in now.items()
        if key[:2] == ("counter", name)
    }


def _p95(then: Totals, now: Totals, name: str) -> float:
    """Return the upper bound of the bucket in which the 95th percentile of the window lies."""
    counts = [0.0] * (len(BOUNDS_MS) + 1)
    for key, values in now.items():
        if key[:2] == ("histogram", name):
            before = then.get(key, [0.0] * len(values))
            counts = [
                sum_ + value - old for sum_, value, old in zip(counts, values[:-1], before[:-1], strict=True)
            ]
    wanted, running = 0.95 * sum(counts), 0.0
    if wanted == 0:
        return 0.0
    for bound, count in zip((*BOUNDS_MS, BOUNDS_MS[-1] * 2), counts, strict=True):
        running += count
        if running >= wanted:
            return bound
    return BOUNDS_MS[-1] * 2
