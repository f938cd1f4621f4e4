"""Give each request a trace of its own (W3C Trace Context), for services that tell of it in spans.

The id takes the place of a ``Server-Timing`` header in the record: both say where a request's time went, and
the spans that bear it come later, by another road.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession


def send_traces() -> None:
    """Let every client of this Locust process send ``traceparent``; the plugin calls it once."""
    for client in (HttpSession, FastHttpSession):
        if not hasattr(client.request, "traced"):
            setattr(client, "request", _traced(client.request))  # noqa: B010  # of a class that is not ours


def _traced(request: Callable[..., Any]) -> Callable[..., Any]:
    def traced(
        self: Any,
        method: str,
        url: str,
        *words: Any,
        headers: dict[str, str] | None = None,
        context: dict[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        trace = secrets.token_hex(16)
        sent = {**(headers or {}), "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        told = {**(context or {}), "adx_trace": trace}
        return request(self, method, url, *words, headers=sent, context=told, **more)

    traced.traced = True  # type: ignore[attr-defined]
    return traced
