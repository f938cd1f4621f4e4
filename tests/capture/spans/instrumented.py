"""The shop under OpenTelemetry's own instrumentation, set up by its own variables and no other change."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests.capture.spans.shop import app, engine

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
FastAPIInstrumentor.instrument_app(app)
# It works with this SQLAlchemy, too, and does not say so yet.
SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)

__all__ = ["app"]
