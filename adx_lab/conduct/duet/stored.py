"""A duet's run folder: written once, with all that its verdict rests on, and read back for judging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.stats.sequential_design import Plan
from adx_lab.analysis.verdict import Calibration, Verdict
from adx_lab.conduct.duet.block import SIDES, Block
from adx_lab.conduct.duet.judge import DuetEvidence
from adx_lab.conduct.duet.order import CALIBRATE
from adx_lab.errors import UsageError
from adx_lab.files import write_whole
from adx_lab.records.run import Caveat, RunRecord, to_json
from adx_lab.secrecy import scrub
from adx_lab.store.folders import (
    COMPANIONS,
    TABLES,
    UNPLAYED,
    VERDICT,
    StoredRun,
    write_plans,
    write_record,
    write_table,
)


@dataclass
class Gathered:
    """The blocks of a duet that is under way, as one set of tables."""

    plan: Plan
    variants: Mapping[str, Mapping[str, Any]]
    calibration: Calibration | None = None
    began: float | None = None
    audits: list[dict[str, Any]] = field(default_factory=list)
    companions: list[dict[str, Any]] = field(default_factory=list)
    caveats: list[Caveat] = field(default_factory=list)
    _samples: list[pa.Table] = field(default_factory=list)
    _queries: list[pa.Table] = field(default_factory=list)
    _rows: int = 0

    def add(self, block: Block) -> None:
        """Append a block; its clock is put on the run's, its rows are numbered on."""
        began = self.began = block.collected.began if self.began is None else self.began
        samples = pq.read_table(block.folder / "samples.parquet")
        queries = pq.read_table(block.folder / "queries.parquet")
        for name in ("t_intended_s", "t_sent_s"):
            moved = samples[name].to_numpy() + (block.collected.began - began)
            samples = samples.set_column(samples.schema.get_field_index(name), name, pa.array(moved))
        numbers = pa.array([block.number] * samples.num_rows, type=pa.int32())
        samples = samples.append_column("block", numbers)
        moved = queries["sample"].to_numpy() + self._rows
        queries = queries.set_column(0, "sample", pa.array(moved, type=pa.int64()))
        counts = samples.group_by("variant").aggregate([("block", "count")]).to_pylist()
        requests = {row["variant"]: row["block_count"] for row in counts}
        for side in SIDES:
            block.companions[side]["requests"] = int(requests.get(side, 0))
        self._rows += samples.num_rows
        self._samples.append(samples)
        self._queries.append(queries)
        self.audits.append(block.audit())
        for caveat in block.collected.caveats:
            self.caveats.append(replace(caveat, text=f"block {block.number}: {caveat.text}"))
        # Through JSON and back: what is judged now is what can be judged again.
        self.companions.append(json.loads(to_json(block.companions)))

    @property
    def duration_s(self) -> float:
        """Measured seconds, all blocks together."""
        return sum(float(audit["duration_s"]) for audit in self.audits)

    def evidence(self, run_id: str) -> DuetEvidence:
        """Return what there is to judge so far."""
        return DuetEvidence(
            run_id=run_id,
            samples=_frame(pa.concat_tables(self._samples)),
            queries=_frame(pa.concat_tables(self._queries)),
            blocks=tuple(json.loads(to_json(self.audits))),
            companions=tuple(self.companions),
            variants=self.variants,
            plan=self.plan,
            calibration=self.calibration,
        )

    def write(self, run_dir: Path, record: RunRecord) -> None:
        """Write the run's folder."""
        pq.write_table(pa.concat_tables(self._samples), run_dir / "samples.parquet")
        pq.write_table(pa.concat_tables(self._queries), run_dir / "queries.parquet")
        write_whole(run_dir / COMPANIONS, to_json(self.companions) + "\n")
        write_plans(run_dir, self.companions[0]["head"].get("matrix") or {"plans": []})
        for table in set(TABLES) - {"samples", "queries"}:
            write_table(run_dir, table, [])
        write_record(run_dir, record)

    def audit(self) -> dict[str, Any]:
        """Return what the run's record keeps of the duet."""
        return {
            "duet": {
                "plan": asdict(self.plan),
                "variants": dict(self.variants),
                "calibration": None if self.calibration is None else asdict(self.calibration),
                "blocks": self.audits,
            }
        }


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write ``verdict.json``."""
    write_whole(folder / VERDICT, scrub(to_json(verdict.to_json(), indent=2)) + "\n")


def write_unplayed(folder: Path, finding: Finding) -> None:
    """Keep with a night's loaded run why its duet could not be played: that duet left no run of its own."""
    told = {"subject": finding.subject, "cause": finding.cause}
    write_whole(folder / UNPLAYED, scrub(to_json(told, indent=2)) + "\n")


def read_unplayed(folder: Path) -> Finding | None:
    """Return why a night's duet could not be played, or None where it was, or none was asked for."""
    try:
        told = json.loads((folder / UNPLAYED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Finding("invalid", str(told["subject"]), str(told["cause"]), {})


def read_evidence(run: StoredRun) -> DuetEvidence:
    """Read a stored duet.

    Raises
    ------
    UsageError
        The run is no duet.
    StoreError
        Something of it is missing or damaged.
    """
    told = run.record.audit.get("duet")
    if told is None:
        raise UsageError(
            f"run {run.record.run_id} is a {run.record.kind}, not a duet",
            mend="adx-lab report judges other runs",
        )
    plan, calibration = told["plan"], told["calibration"]
    return DuetEvidence(
        run_id=run.record.run_id,
        samples=run.table("samples"),
        queries=run.table("queries"),
        blocks=tuple(told["blocks"]),
        companions=tuple(run.companions()),
        variants=told["variants"],
        plan=Plan(**{**plan, "looks": tuple(plan["looks"])}),
        calibration=None if calibration is None else Calibration(**calibration),
        calibrating=run.record.kind == CALIBRATE,
    )


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
