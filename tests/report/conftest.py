"""Stored runs of every kind, made once a session, or taken from what other tests have stored already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adx_lab.records import RunRecord
from adx_lab.store.folders import open_run, run_ids
from tests.conftest import Home


def stored(home: Home, fits: Callable[[RunRecord], bool], *words: str) -> str:
    """Return the id of a stored run that fits; a command makes one where there is none yet."""
    runs = home.data / "runs"
    known = (name for name in run_ids(runs) if fits(open_run(runs, name).record))
    found = next(known, None)
    if found is not None:
        return found
    done = home.adx_lab(*words, "--json")
    assert done.code in {0, 1, 3}, done.err
    return str(done.json()["run_id"])


def whole_load(record: RunRecord) -> bool:
    return record.scenario == "mixed" and record.audit.get("requests", 0) > 500 and "tenants" in record.target


def climb(record: RunRecord) -> bool:
    return record.scenario == "steps" and len(record.audit.get("steps", ())) > 0


def duet_of_equals(record: RunRecord) -> bool:
    duet: dict[str, Any] = record.audit.get("duet", {"blocks": ()})
    return record.variants == (".", ".") and len(duet["blocks"]) == 2


@pytest.fixture(scope="session")
def load_run(stack_home: Home) -> str:
    return stored(
        stack_home, whole_load, "load", "mixed", "--duration", "6", "--rate", "150", "--warmup", "1"
    )


@pytest.fixture(scope="session")
def steps_run(stack_home: Home) -> str:
    short = stack_home.path / "locustfiles" / "steps.py"
    whole = short.read_text()
    short.write_text(
        whole.replace(
            "climb(200, factor=1.3, steps=14, seconds=6)", "climb(60, factor=1.5, steps=5, seconds=1)"
        )
    )
    try:
        return stored(stack_home, climb, "load", "steps", "--warmup", "0.5")
    finally:
        short.write_text(whole)


@pytest.fixture(scope="session")
def duet_run(stack_home: Home) -> str:
    short = ("--blocks", "2", "--seconds", "2", "--warmup", "0.5", "--rate", "50")
    return stored(stack_home, duet_of_equals, "duet", ".", ".", *short)
