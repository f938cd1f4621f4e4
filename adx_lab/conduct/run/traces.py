"""The spans of one load: where they are received, and what they say of its requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import msgspec

from adx_lab.analysis.spans.spans import SpanSplit, by_trace, split_trace
from adx_lab.capture.spans.receiver import Receiver
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.records.run import Caveat
from adx_lab.settings import ServiceSettings, Settings

_QUIET_S = 1.5
_LATEST_S = 15.0
"""Exporters send what they have every half second, unless told otherwise."""


@contextmanager
def received(settings: Settings) -> Iterator[tuple[Settings, Receiver | None]]:
    """Receive spans for as long as the block runs, where the service tells its times by them.

    Yields
    ------
    tuple
        Settings under which a service that is started sends its spans here, and the receiver; one that is
        up already must send to ``service.otlp_port``.
    """
    with receiver_of(settings.service) as receiver:
        told = told_where(settings.service, receiver)
        yield msgspec.structs.replace(settings, service=told), receiver


def receiver_of(service: ServiceSettings) -> AbstractContextManager[Receiver | None]:
    """Return what receives a service's spans while it is entered; None where it tells its times otherwise."""
    return Receiver(port=service.otlp_port) if service.timing == "otel" else nullcontext()


def told_where(service: ServiceSettings, receiver: Receiver | None) -> ServiceSettings:
    """Return how a service is started so that it sends its spans to a receiver."""
    if receiver is None:
        return service
    env = {**receiver.environ(service=service.name or "service"), **service.start.env}
    return msgspec.structs.replace(service, start=msgspec.structs.replace(service.start, env=env))


def splits_of(receiver: Receiver | None) -> dict[str, ServerSplit]:
    """Wait until nothing more comes, and return where the time of each traced request went."""
    if receiver is None:
        return {}
    deadline, seen, since = time.monotonic() + _LATEST_S, -1, time.monotonic()
    while time.monotonic() < min(deadline, since + _QUIET_S):
        if receiver.received.exports != seen:
            seen, since = receiver.received.exports, time.monotonic()
        time.sleep(0.1)
    return {trace: _split(split_trace(spans)) for trace, spans in by_trace(receiver.spans()).items()}


def doubts_of(receiver: Receiver | None, splits: Mapping[str, ServerSplit]) -> tuple[Caveat, ...]:
    """Return what was lost on the way, or that nothing came at all."""
    if receiver is None:
        return ()
    account = receiver.received
    doubts = []
    if account.lost:
        lost = f"{account.lost} exports of spans were lost: they can't be read, or there was no room"
        doubts.append(Caveat("spans-lost", lost))
    if not splits:
        text = "the service sent no spans: is it instrumented, and does it send them where it is told to?"
        doubts.append(Caveat("no-spans", text))
    return tuple(doubts)


def _split(split: SpanSplit) -> ServerSplit:
    cache = "l2" if split.cache_calls else "none"
    return ServerSplit(split.server_ms, split.db_ms, split.cache_ms, 0.0, cache, split.queries)
