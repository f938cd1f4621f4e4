"""A duet of known truth as a stored run: what a night finds beside its load."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.conduct.duet.judge import DuetEvidence, judge_duet
from adx_lab.conduct.duet.stored import write_verdict
from adx_lab.records.documents import to_json
from adx_lab.records.run import DuetAudit, RunRecord, new_run_id
from adx_lab.settings import Settings
from adx_lab.store.folders import COMPANIONS, COUNTS, new_run_folder, write_plans, write_record, write_table
from adx_lab.store.reading import TABLES


def store_duet(settings: Settings, evidence: DuetEvidence, *, night: str | None = None) -> str:
    """Write a run's folder that gives this evidence when it is read; return the run's id."""
    run_id = new_run_id(datetime.now(UTC))
    evidence = replace(evidence, run_id=run_id)
    with new_run_folder(settings.runs_dir, run_id) as folder:
        for name, frame in (
            ("samples", evidence.samples),
            ("queries", evidence.queries),
            (COUNTS, evidence.counts),
        ):
            assert frame is not None
            pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet")
        for table in set(TABLES) - {"samples", "queries", COUNTS}:
            write_table(folder, table, [])
        (folder / COMPANIONS).write_text(to_json(evidence.companions), encoding="utf-8")
        write_plans(folder, {"plans": []})
        audit = DuetAudit(
            design=asdict(evidence.design),
            variants={side: {"text": side, **told} for side, told in evidence.variants.items()},
            blocks=[dict(block) for block in evidence.blocks],
        )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        record = RunRecord(run_id, "duet", "mixed", at, 60.0, 1, audit, variants=("base", "."), night=night)
        write_record(folder, record)
        write_verdict(folder, judge_duet(evidence).verdict)
    return run_id
