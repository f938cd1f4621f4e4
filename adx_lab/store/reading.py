"""Read a run's tables: whole, thinned, or in pieces where they are too large to be held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.records.columns import (
    CACHE_COLUMNS,
    CACHE_TRACE_COLUMNS,
    DATABASE_COLUMNS,
    QUERY_COLUMNS,
    RESOURCE_COLUMNS,
    SAMPLE_COLUMNS,
    SERVICE_COLUMNS,
)

if TYPE_CHECKING:  # who only lists runs does not wait a second for pandas
    import pandas as pd

TABLES: Mapping[str, Mapping[str, str]] = {
    "samples": SAMPLE_COLUMNS,
    "beside": SAMPLE_COLUMNS,
    "queries": QUERY_COLUMNS,
    "resources": RESOURCE_COLUMNS,
    "database": DATABASE_COLUMNS,
    "cache": CACHE_COLUMNS,
    "cache_trace": CACHE_TRACE_COLUMNS,
    "service": SERVICE_COLUMNS,
}

_LARGE = frozenset({"samples", "beside", "queries"})
_ADDED_COLUMNS = frozenset({"kind", "request_type"})
_AT_ONCE = 1_000_000


def read_table(path: Path, columns: list[str] | None) -> pd.DataFrame:
    """Return a whole table, its texts as categories where they repeat."""
    # A request's texts repeat: as one small number a row, ten million take 10 MB and not 600.
    kinds = TABLES[path.stem].items() if path.stem in _LARGE else ()
    texts = [column for column, dtype in kinds if dtype == "string"]
    if columns is not None:  # one that the first versions did not write is left out
        columns = [
            name for name in columns if name not in _ADDED_COLUMNS or name in pq.read_schema(path).names
        ]
    found = _as_promised(pq.read_table(path, columns=columns, read_dictionary=texts), path.stem, columns)
    frame: pd.DataFrame = found.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _as_promised(found: pa.Table, table: str, columns: list[str] | None) -> pa.Table:
    """Return a table whose columns are there, and of the types that whoever reads them counts on."""
    for name, dtype in TABLES.get(table, {}).items():
        if columns is not None and name not in columns:
            continue
        place = found.schema.get_field_index(name)
        if place < 0:
            if name in _ADDED_COLUMNS:
                continue
            raise ValueError(f"it has no column {name}")
        kind, promised = found.schema.field(place).type, pa.type_for_alias(dtype)
        if kind != promised and not pa.types.is_dictionary(kind):
            found = found.set_column(place, name, found.column(place).cast(promised))
    return found


def count_rows(path: Path) -> int:
    """Return how many rows a table has."""
    rows: int = pq.read_metadata(path).num_rows
    return rows


def read_pieces(path: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Yield a table in pieces of a million rows at the most."""
    for piece in _pieces(path, columns):
        yield piece.to_pandas()


def read_thinned(path: Path, columns: list[str] | None, one_in: int) -> pd.DataFrame:
    """Return every so many rows of the samples, or the queries of these samples."""
    kept, first = [], 0
    for piece in _pieces(path, columns):
        of_queries = "sample" in piece.column_names
        number = piece["sample"].to_numpy() if of_queries else np.arange(first, first + len(piece))
        first += len(piece)
        own = piece.filter(pa.array(number % one_in == 0))
        if of_queries:
            own = own.set_column(0, "sample", pa.array(own["sample"].to_numpy() // one_in))
        kept.append(own)
    frame: pd.DataFrame = pa.concat_tables(kept).unify_dictionaries().to_pandas()
    frame.attrs["one_in"] = one_in
    return frame


def _pieces(path: Path, columns: list[str] | None) -> Iterator[pa.Table]:
    texts = [name for name, dtype in TABLES[path.stem].items() if dtype == "string"]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        there = file.schema_arrow.names
        named = None if columns is None else [name for name in columns if name in there]
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=named):
            yield _as_promised(pa.table(batch), path.stem, columns)
