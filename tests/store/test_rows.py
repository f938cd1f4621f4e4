from __future__ import annotations

from pathlib import Path

import pytest

from adx_lab.errors import StoreError
from adx_lab.records.run import RunRecord
from adx_lab.store.rows import RunStore


def record(run_id: str) -> RunRecord:
    return RunRecord(run_id, "load", "mixed", "2026-01-01T00:00:00+00:00", 3.0, 1, git={"commit": "abc"})


def test_rows_are_kept_and_replaced(tmp_path: Path) -> None:
    store = RunStore(f"sqlite:///{tmp_path / 'runs.sqlite'}")
    store.save(record("b"), status="pass", figures={"p95_ms": 1.5, "p99_ms": None})
    store.save(record("a"), status=None, figures={})
    store.save(record("b"), status="regressed", figures={"p95_ms": 2.5})
    rows = store.list()
    assert [(row["run_id"], row["status"], row["figures"]) for row in rows] == [
        ("a", None, {}),
        ("b", "regressed", {"p95_ms": 2.5}),
    ]
    store.delete("a")
    store.delete("a")
    assert [row["run_id"] for row in store.list()] == ["b"]
    store.close()


def test_a_store_that_cannot_be_opened_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the run store sqlite:.* refused: unable to open"):
        RunStore(f"sqlite:///{tmp_path / 'no' / 'folder' / 'runs.sqlite'}")
