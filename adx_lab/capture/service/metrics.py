"""Read a Prometheus text page (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?\s+([^\s]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One line of the page."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_metrics(
    url: str, *, tls: ssl.SSLContext | None = None, timeout_s: float = 3.0
) -> list[MetricSample]:
    """Return the samples of a metrics page; none where nobody answers, which the caller records as a gap."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s, context=tls) as answer:
            text = answer.read().decode("utf-8", errors="replace")
    except (OSError, urllib.error.URLError):
        return []
    return parse_metrics(text)


def parse_metrics(text: str) -> list[MetricSample]:
    """Return the samples of a page's text; comments and malformed lines are passed over."""
    samples = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            try:
                value = float(found[3])
            except ValueError:
                continue
            samples.append(MetricSample(found[1], dict(_LABEL.findall(found[2] or "")), value))
    return samples
