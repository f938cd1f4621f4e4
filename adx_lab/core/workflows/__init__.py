"""Durable work: asked for by a row, carried out by a process of its own."""
