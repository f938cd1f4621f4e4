"""Spans: what an instrumented service tells of its requests, in any language."""
