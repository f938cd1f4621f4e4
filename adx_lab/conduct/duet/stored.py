"""A duet's run folder: written once, with all that its verdict rests on, and read back for judging."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.analysis.duet.block_ratios import HEAD
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.growth import GROWTH, Growth, grown, growth_by_function
from adx_lab.analysis.functions.stored import PROFILED
from adx_lab.analysis.stats.sequential_design import SequentialDesign
from adx_lab.analysis.verdict import Calibration, Verdict
from adx_lab.capture.database.companions import statement_names
from adx_lab.capture.database.endpoint_counts import counted_between, statements_between
from adx_lab.conduct.duet.judge import DuetEvidence
from adx_lab.conduct.duet.left import SIDES, Block
from adx_lab.conduct.duet.profiling import Profiles, SampledEndpoint
from adx_lab.errors import UsageError
from adx_lab.files import write_whole
from adx_lab.load.serial.movement import Measured
from adx_lab.records.columns import COUNT_COLUMNS, STATEMENT_COLUMNS
from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat, DuetAudit, RunRecord
from adx_lab.secrecy import scrub
from adx_lab.sql import Query
from adx_lab.store.folders import (
    COMPANIONS,
    COUNTS,
    PROFILES,
    STATEMENTS,
    UNPLAYED,
    VERDICT,
    StoredRun,
    write_plans,
    write_record,
    write_table,
)
from adx_lab.store.reading import TABLES


@dataclass
class Gathered:
    """The blocks of a duet that is under way, as one set of tables."""

    design: SequentialDesign
    variants: Mapping[str, Mapping[str, Any]]
    calibration: Calibration | None = None
    queries: Mapping[str, Mapping[str, Query]] = field(default_factory=dict)
    """By side, its named queries."""

    roots: Mapping[str, Path | None] = field(default_factory=dict)
    """By side, where its source lies."""

    began: float | None = None
    audits: list[dict[str, Any]] = field(default_factory=list)
    companions: list[dict[str, Any]] = field(default_factory=list)
    caveats: list[Caveat] = field(default_factory=list)
    _samples: list[pa.Table] = field(default_factory=list)
    _queries: list[pa.Table] = field(default_factory=list)
    _counts: list[dict[str, Any]] = field(default_factory=list)
    _statements: list[dict[str, Any]] = field(default_factory=list)
    _names: dict[str, dict[int, str | None]] = field(default_factory=dict)
    _profiles: Profiles = field(default_factory=Profiles)
    _rows: int = 0

    def add(self, block: Block) -> None:
        """Append a block; its clock is put on the run's, its rows are numbered on."""
        if self.began is None:
            self.began = block.collected.began if block.serial is None else block.serial.began
        began = self.began
        if block.serial is not None:
            for movement in block.serial.movements:
                moved_s = block.serial.began - began
                self._append(block.folder / movement, block.number, movement, moved_s)
            self._count(block)
        if block.burst is not None:
            for movement in block.burst.movements:
                self._append(block.folder / movement, block.number, movement, block.burst.began - began)
        samples = self._append(block.folder, block.number, "open", block.collected.began - began)
        counts = samples.group_by("variant").aggregate([("block", "count")]).to_pylist()
        requests = {row["variant"]: row["block_count"] for row in counts}
        for side in SIDES:
            block.companions[side]["requests"] = int(requests.get(side, 0))
        self.audits.append(block.audit())
        for caveat in block.collected.caveats:
            self.caveats.append(replace(caveat, text=f"block {block.number}: {caveat.text}"))
        # Through JSON and back: what is judged now is what can be judged again.
        self.companions.append(json.loads(to_json(block.companions)))

    def add_sampled(self, place: int, asked: Iterable[SampledEndpoint]) -> None:
        """Keep where both variants computed, beside the block in this place."""
        number = int(self.audits[place]["block"])
        for one in asked:
            for side, told in self._profiles.add(number, one, self.roots).items():
                beside = self.companions[place][side].setdefault(PROFILED, {})
                beside[one.endpoint] = json.loads(to_json(told))

    def add_growth(self, measured: Iterable[Measured]) -> None:
        """Keep which lines keep memory, beside the first block."""
        rows: list[Growth] = []
        for one in measured:
            kept = [
                growth_by_function(
                    one.before[side],
                    one.after[side],
                    root=str(self.roots.get(side) or ""),
                    text=partial(self._profiles.text, side, self.roots.get(side)),
                    requests=one.pairs,
                )
                for side in SIDES
            ]
            rows += grown(one.endpoint, *kept)
        self.companions[0][HEAD][GROWTH] = [asdict(row) for row in rows]

    def _append(self, folder: Path, number: int, movement: str, moved_s: float) -> pa.Table:
        """Append one movement's requests."""
        samples = pq.read_table(folder / "samples.parquet")
        queries = pq.read_table(folder / "queries.parquet")
        for name in ("t_intended_s", "t_sent_s"):
            moved = samples[name].to_numpy() + moved_s
            samples = samples.set_column(samples.schema.get_field_index(name), name, pa.array(moved))
        size = samples.num_rows
        samples = samples.append_column("block", pa.array([number] * size, type=pa.int32()))
        samples = samples.append_column("movement", pa.array([movement] * size, type=pa.string()))
        rows = queries["sample"].to_numpy() + self._rows
        queries = queries.set_column(0, "sample", pa.array(rows, type=pa.int64()))
        self._rows += size
        self._samples.append(samples)
        self._queries.append(queries)
        return samples

    def _count(self, block: Block) -> None:
        """Keep what was read around each endpoint of the serial movement."""
        assert block.serial is not None
        for one in block.serial.measured:
            for side in SIDES:
                told = {"block": block.number, "variant": side, "endpoint": one.endpoint}
                before, after = one.before[side], one.after[side]
                self._counts.append({**told, "requests": one.pairs, **counted_between(before, after)})
                names = self._named(side, after.statements or {})
                self._statements += [
                    {**told, "query": names.get(ran["queryid"]), **ran}
                    for ran in statements_between(before, after)
                ]

    def _named(self, side: str, statements: Mapping[int, Mapping[str, Any]]) -> Mapping[int, str]:
        """Return the names of statements, of which only the new ones must be looked for."""
        known = self._names.setdefault(side, {})
        fresh = {number: row for number, row in statements.items() if number not in known}
        if fresh:
            known.update(dict.fromkeys(fresh))
            known.update(statement_names(fresh, self.queries.get(side, {})))
        return {number: name for number, name in known.items() if name}

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
            design=self.design,
            calibration=self.calibration,
            counts=_frame(_table(self._counts, COUNT_COLUMNS)) if self._counts else None,
            statements=_frame(_table(self._statements, STATEMENT_COLUMNS)) if self._counts else None,
            profiles=_frame(self._profiles.table()) if self._profiles.rows else None,
        )

    def write(self, run_dir: Path, record: RunRecord) -> None:
        """Write the run's folder."""
        pq.write_table(pa.concat_tables(self._samples), run_dir / "samples.parquet")
        pq.write_table(pa.concat_tables(self._queries), run_dir / "queries.parquet")
        if self._counts:
            pq.write_table(_table(self._counts, COUNT_COLUMNS), run_dir / f"{COUNTS}.parquet")
            pq.write_table(_table(self._statements, STATEMENT_COLUMNS), run_dir / f"{STATEMENTS}.parquet")
        if self._profiles.rows:
            pq.write_table(self._profiles.table(), run_dir / f"{PROFILES}.parquet", compression="zstd")
        write_whole(run_dir / COMPANIONS, to_json(self.companions) + "\n")
        write_plans(run_dir, self.companions[0]["head"].get("matrix") or {"plans": []})
        for table in set(TABLES) - {"samples", "queries"}:
            write_table(run_dir, table, [])
        write_record(run_dir, record)

    def audit(self, *, rate_per_s: float, seconds: float, warmup_s: float) -> DuetAudit:
        """Return what the run's record keeps of the duet."""
        return DuetAudit(
            design=asdict(self.design),
            variants={side: dict(told) for side, told in self.variants.items()},
            blocks=self.audits,
            calibration=None if self.calibration is None else asdict(self.calibration),
            rate_per_s=rate_per_s,
            seconds=seconds,
            warmup_s=warmup_s,
        )


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
        told = msgspec.json.decode((folder / UNPLAYED).read_bytes(), type=dict[str, str])
        return Finding("invalid", told["subject"], told["cause"], {})
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, KeyError, OSError) as error:
        return Finding("invalid", "duet", f"it could not be played; {UNPLAYED} is damaged: {error}", {})


def read_evidence(run: StoredRun) -> DuetEvidence:
    """Read a stored duet.

    Raises
    ------
    UsageError
        The run is no duet.
    StoreError
        Something of it is missing or damaged.
    """
    told = run.record.audit
    if not isinstance(told, DuetAudit):
        raise UsageError(
            f"run {run.record.run_id} is a {run.record.kind}, not a duet",
            mend="adx-lab report judges other runs",
        )
    design, calibration = told.design, told.calibration
    return DuetEvidence(
        run_id=run.record.run_id,
        samples=run.table("samples"),
        queries=run.table("queries"),
        blocks=tuple(told.blocks),
        companions=tuple(run.companions()),
        variants=told.variants,
        design=SequentialDesign(**{**design, "looks": tuple(design["looks"])}),
        calibration=None if calibration is None else Calibration(**calibration),
        calibrating=run.record.purpose == "calibrate",
        counts=_table_of(run, COUNTS),
        statements=_table_of(run, STATEMENTS),
        profiles=_table_of(run, PROFILES),
    )


def _table_of(run: StoredRun, name: str) -> pd.DataFrame | None:
    """Return a table that only duets with a serial movement have."""
    return run.table(name) if (run.folder / f"{name}.parquet").exists() else None


def _table(rows: list[dict[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    schema = pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in columns.items()])
    return pa.Table.from_pylist(rows, schema=schema)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
