"""The columns of a run's tables. The dtypes are those of the Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

CacheLayer = Literal["l1", "l2", "miss", "none"]

SAMPLE_COLUMNS: Mapping[str, str] = {
    "t_intended_s": "float64",  # when the request should have left, since the run began
    "t_sent_s": "float64",  # when it did
    "latency_ms": "float64",  # from the intended start to the last byte
    "service_ms": "float64",  # from the send to the last byte
    "endpoint": "string",  # method and route template, never a raw path
    "group": "string",  # gateway, auth, users, files, workflows
    "tenant": "string",  # the kind of tenant it was made for: whale, large, median, small; null if unknown
    "status": "int16",  # HTTP status; 0 where there was no answer
    "bytes": "int64",  # of the response's body
    "variant": "string",
    "pair": "int64",  # number of the pair in a duet; -1 elsewhere
    "server_ms": "float64",  # Server-Timing total; NaN where the server sends none
    "db_ms": "float64",
    "db_queries": "int16",
    "valkey_ms": "float64",
    "pool_ms": "float64",  # waiting for a database connection
    "cache": "string",  # the deepest layer that was asked: l1, l2, miss, none
    "error": "string",  # null where all went well
    "worker": "int32",  # the load generator's process
    "request_type": "string",  # what its client calls itself: GET, grpc, DB
    "kind": "string",  # request; unanswered: its times are lower bounds
}
"""One row a request; the dtypes are those of the Parquet file. ``beside.parquet`` has the same columns for
what is not measured, of the kinds on_start, warm_up, after_the_end, cut_off, on_stop, exception; and of the
kind stream_end, once more, each request whose answer was a stream that was read to its end: up to then."""

QUERY_COLUMNS: Mapping[str, str] = {"sample": "int64", "query": "string", "ms": "float64"}
"""One row a query execution; ``sample`` is the row number in the samples."""

RESOURCE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "process": "string",  # its role in the stack: postgres, valkey, core, worker, locust
    "pid": "int32",
    "cpu_s": "float64",  # user and system time used since the process began
    "rss_mb": "float64",
    "threads": "int32",
    "open_files": "int32",
}

CACHE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "layer": "string",  # l1, l2, database
    "family": "string",
    "hits": "int64",  # since the core began
}

SERVICE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",
    "name": "string",  # as on the service's metrics page; of histograms the sum and the count
    "value": "float64",
}
"""One row a series and moment: what the service says of itself."""

CACHE_TRACE_COLUMNS: Mapping[str, str] = {
    "t_s": "float64",  # negative before the run's zero: what was in L1 by then
    "scope": "int64",  # a keyed hash; what is dropped as one when L1 is full, or invalidated
    "item": "int64",  # a keyed hash of the entry's name within its scope
    "worker": "int32",  # the core's process, each with an L1 of its own
    "family": "string",
    "event": "string",  # hit, miss, put, forget (a scope), clear
}
"""One row an event of the core's L1, in order."""

DATABASE_COLUMNS: Mapping[str, str] = {
    "query": "string",  # the named query, or null for anything else
    "queryid": "int64",
    "calls": "int64",
    "total_ms": "float64",
    "mean_ms": "float64",
    "rows": "int64",
    "shared_hit": "int64",
    "shared_read": "int64",
    "temp_written": "int64",
    "wal_bytes": "int64",
    "text": "string",
}
"""One row a statement: the difference of ``pg_stat_statements`` over the run."""

COUNT_COLUMNS: Mapping[str, str] = {
    "block": "int32",
    "variant": "string",
    "endpoint": "string",  # a way to ask, as in the samples
    "requests": "int64",
    "cpu_ms": "float64",  # of the service's processes; all columns are sums over the requests
    "database_cpu_ms": "float64",  # of the database's connections that work for the variant
    "rss_mb": "float64",  # by how much the service grew
    "statements": "float64",
    "pages": "float64",
    "rows": "float64",
    "valkey_commands": "float64",
}
"""One row a block, variant and endpoint of a duet's serial movement; NaN where it could not be read."""

STATEMENT_COLUMNS: Mapping[str, str] = {
    "block": "int32",
    "variant": "string",
    "endpoint": "string",
    "queryid": "int64",
    "query": "string",  # the named query, or null for anything else
    "text": "string",
    "calls": "float64",
    "exec_ms": "float64",
    "rows": "float64",
    "pages": "float64",
}
"""One row a statement that an endpoint asked for in a block of the serial movement."""
