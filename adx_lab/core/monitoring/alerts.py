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
_FAILURES_MIN = 5
_SUBJECTS = 5  # one endpoint or query needs a fifth of the requests that all together need
_MEMORY = "memory_usage_bytes"
_logger = logging.getLogger("adx_lab.core.monitoring.alerts")


class Alert(msgspec.Struct, frozen=True):
    """What is told: ``state`` is ``firing`` or ``resolved``, ``subject`` the endpoint or query."""

    alert: str
    subject: str
    state: str
    value: float
    threshold: float
    window_s: float


class Watch:
    """Compares what happened within the window with the thresholds, and remembers what it told.

    Each endpoint and each query is judged by itself: a slow one must not hide among many fast ones. Streams
    take as long as there is to send, and are left out. Silence resolves nothing.
    """

    def __init__(self, settings: AlertSettings, streams: frozenset[str] = frozenset()) -> None:
        self._settings = settings
        self._streams = streams
        self._seen: deque[tuple[float, Totals]] = deque()
        self._firing: set[tuple[str, str]] = set()
        self._thresholds = {
            "response_p95_ms": settings.response_p95_ms,
            "query_p95_ms": settings.query_p95_ms,
            "queue_p95_ms": settings.queue_p95_ms,
            "error_rate": settings.error_rate,
            "memory_bytes": settings.memory_bytes,
        }

    def look(self, now_s: float, seen: Totals) -> list[Alert]:
        """Take the totals of this moment, and return what has to be told."""
        self._seen.append((now_s, seen))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self._settings.window_s:
            self._seen.popleft()
        values = self._values(self._seen[0][1], seen)
        return [alert for key, value in values.items() for alert in self._judge(*key, value)]

    def _judge(self, name: str, subject: str, value: float) -> list[Alert]:
        threshold, firing = self._thresholds[name], (name, subject) in self._firing
        if not firing and value > threshold:
            self._firing.add((name, subject))
        elif firing and value <= threshold * _CALM:
            self._firing.remove((name, subject))
        else:
            return []
        state = "resolved" if firing else "firing"
        return [Alert(name, subject, state, value, threshold, self._settings.window_s)]

    def _values(self, then: Totals, now: Totals) -> dict[tuple[str, str], float]:
        values: dict[tuple[str, str], float] = {}
        requests = _grown(then, now, "http_requests_total")
        answered = sum(requests.values())
        failed = sum(count for labels, count in requests.items() if dict(labels)["status"] >= "500")
        # A few failures are enough to be told of; that all is well again takes as many answers.
        if failed >= _FAILURES_MIN or answered >= self._settings.requests_min:
            values["error_rate", ""] = failed / answered
        histograms = {
            "response_p95_ms": ("http_request_duration_ms", self._endpoint),
            "query_p95_ms": ("db_query_duration_ms", lambda labels: labels["query"]),
            "queue_p95_ms": ("event_loop_lag_ms", lambda _: ""),
        }
        for alert, (name, subject_of) in histograms.items():
            for subject, counts in _counts(then, now, name, subject_of).items():
                if sum(counts) >= self._settings.requests_min / _SUBJECTS:
                    values[alert, subject] = _p95(counts)
        values["memory_bytes", ""] = sum(found[0] for key, found in now.items() if key[1] == _MEMORY)
        return values

    def _endpoint(self, labels: dict[str, str]) -> str | None:
        return None if labels["path"] in self._streams else f"{labels['method']} {labels['path']}"


def watch_forever(settings: Settings, memory: Memory, streams: frozenset[str], stop: threading.Event) -> None:
    """Look every few seconds until told to stop; tell the log and the webhook."""
    watch = Watch(settings.alerts, streams)
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


def _counts(
    then: Totals, now: Totals, name: str, subject_of: Callable[[dict[str, str]], str | None]
) -> dict[str, list[float]]:
    """Return how many of the window fell into each bucket, by subject."""
    found: dict[str, list[float]] = {}
    for key, values in now.items():
        if key[:2] != ("histogram", name) or (subject := subject_of(dict(key[2]))) is None:
            continue
        before = then.get(key, [0.0] * len(values))
        counts = found.setdefault(subject, [0.0] * (len(values) - 1))
        for place, (value, old) in enumerate(zip(values[:-1], before[:-1], strict=True)):
            counts[place] += value - old
    return found


def _p95(counts: list[float]) -> float:
    """Return the upper bound of the bucket in which the 95th percentile lies."""
    wanted, running = 0.95 * sum(counts), 0.0
    for bound, count in zip(BOUNDS_MS, counts, strict=False):
        running += count
        if running >= wanted:
            return bound
    return BOUNDS_MS[-1] * 2
