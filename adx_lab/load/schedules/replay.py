"""A recorded schedule, to be sent again: the moments and the endpoints of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.errors import StoreError
from adx_lab.files import make_private_folder


def write_replay(samples: Path, target: Path) -> float:
    """Write the schedule of a run's samples, ordered by time; return how many seconds it lasts.

    Raises
    ------
    StoreError
        The samples are missing or damaged.
    """
    try:
        table = pq.read_table(samples, columns=["t_intended_s", "endpoint"])
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"the schedule of {samples} can't be read: {str(error).splitlines()[0]}") from error
    make_private_folder(target.parent)
    ordered = table.sort_by("t_intended_s").combine_chunks()
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, ordered.schema) as writer:
        writer.write_table(ordered, max_chunksize=65_536)
    return float(ordered["t_intended_s"][-1].as_py()) if len(ordered) else 0.0


def read_replay(path: str, *, index: int, workers: int) -> Iterator[tuple[int, float, str]]:
    """Yield number, moment and endpoint of each arrival that falls to one of the workers."""
    number = 0
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        for batch in range(reader.num_record_batches):
            columns = reader.get_batch(batch).to_pydict()
            for moment, endpoint in zip(columns["t_intended_s"], columns["endpoint"], strict=True):
                if number % workers == index:
                    yield number, moment, endpoint
                number += 1
