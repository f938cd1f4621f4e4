"""Named queries from ``.sql`` files.

The loader is the core's own, re-exported here: the lab reads the named queries of any version of the core (to
explain them) and its own (to run them) in one way.
"""

from __future__ import annotations

from adx_lab.core.sql import Query, load_queries

__all__ = ["Query", "load_queries"]
