"""Read OTLP: the official protobuf definitions, as spans of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Told

from adx_lab.analysis.spans.spans import Span, SpanKind

_KINDS: dict[int, SpanKind] = {
    Told.SPAN_KIND_SERVER: "server",
    Told.SPAN_KIND_CLIENT: "client",
    Told.SPAN_KIND_PRODUCER: "producer",
    Told.SPAN_KIND_CONSUMER: "consumer",
}
assert set(_KINDS.values()) < set(get_args(SpanKind))

_KEPT = ("db.", "http.", "rpc.", "url.", "messaging.")
"""The attributes that tell what a span is; others are passed over."""

_SERVICE = "service.name"


def read_spans(body: bytes) -> Iterator[Span]:
    """Yield the spans of one export.

    Raises
    ------
    ValueError
        It is no ``ExportTraceServiceRequest``.
    """
    try:
        told = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError("not an export of OpenTelemetry traces") from error
    for resource in told.resource_spans:
        named = (one for one in resource.resource.attributes if one.key == _SERVICE)
        service = next((_text(one.value) for one in named), "")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace=span.trace_id.hex(),
                    span=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    name=span.name,
                    kind=_KINDS.get(span.kind, "internal"),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes={
                        one.key: _text(one.value) for one in span.attributes if one.key.startswith(_KEPT)
                    },
                    service=service,
                )


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return "" if kind is None else str(getattr(value, kind))
