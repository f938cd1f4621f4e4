"""The JSON Schemas of what is stored; ``python -m tests.promises.schemas`` writes ``docs/schemas`` anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.analysis import verdict
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import Coverage
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.records.run import RunRecord

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Return each schema under its document's name."""
    # The verdict names these for the type checker only; the schema needs them for real.
    for kind in (Comparison, Coverage, BudgetResult):
        setattr(verdict, kind.__name__, kind)
    found = {"run": msgspec.json.schema(RunRecord), "verdict": msgspec.json.schema(verdict.Verdict)}
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(found))
    return plain


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, sort_keys=True)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
