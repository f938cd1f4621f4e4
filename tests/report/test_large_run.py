"""A run that is read in pieces is judged as one that is read whole, and drawn from a share of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adx_lab.analysis.run.distribution import timeline
from adx_lab.report.bench import make_run
from adx_lab.report.run import judged_run
from adx_lab.report.run.judged_run import Judgement
from adx_lab.store import reading
from adx_lab.store.folders import open_folder

REQUESTS = 60_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a minute, of which some requests failed and some had no answer."""
    folder = tmp_path_factory.mktemp("large")
    make_run(folder, REQUESTS, rate_per_s=1000.0)
    samples = pq.read_table(folder / "samples.parquet")
    fate = np.random.default_rng(2).random(len(samples))
    for name, values in {
        "error": ["refused" if lot < 0.02 else None for lot in fate],
        "kind": ["unanswered" if lot < 0.005 else "request" for lot in fate],
        "group": [
            "other" if lot > 0.9 else own for lot, own in zip(fate, samples["group"].to_pylist(), strict=True)
        ],
    }.items():
        place = samples.schema.get_field_index(name)
        samples = samples.set_column(place, name, pa.array(values, type=pa.string()))
    pq.write_table(samples, folder / "samples.parquet", row_group_size=7_000)
    return folder


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged_run, "LARGE", 1_000)
    monkeypatch.setattr(judged_run, "DRAWN", 5_000)
    monkeypatch.setattr(reading, "_AT_ONCE", 11_111)


def test_its_figures_are_the_same(folder: Path, in_pieces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Judgement(open_folder(folder), None)
    found, by_endpoint = pieces.measured, pieces.endpoints
    monkeypatch.undo()
    whole = Judgement(open_folder(folder), None)
    assert (pieces.one_in, whole.one_in) == (12, 1)
    assert found.keys() == whole.measured.keys()
    assert len(found) > 60
    for name, estimate in whole.measured.items():
        for told in ("value", "low", "high"):
            expected = getattr(estimate, told)
            assert getattr(found[name], told) == (expected and pytest.approx(expected, rel=1e-6)), name
        assert (found[name].n, found[name].caveats) == (estimate.n, estimate.caveats)
    for one, other in zip(by_endpoint, whole.endpoints, strict=True):
        assert (one.subject, one.count, one.errors) == (other.subject, other.count, other.errors)
        assert one.caveats == other.caveats
        assert one.mean_ms.value == pytest.approx(other.mean_ms.value, rel=1e-6)


def test_what_is_drawn_is_a_share_and_says_so(
    folder: Path, in_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judgement(open_folder(folder), None)
    samples, queries = judged.samples, judged.queries
    assert len(samples) == REQUESTS / 12
    assert [note.code for note in judged.notes] == ["thinned"]
    monkeypatch.undo()
    whole = Judgement(open_folder(folder), None)
    asked = whole.queries[whole.queries["sample"] % 12 == 0]
    assert whole.notes == ()
    assert queries["ms"].tolist() == asked["ms"].tolist()
    # A query still belongs to the request that asked it.
    own = samples["latency_ms"].to_numpy()[queries["sample"].to_numpy()]
    assert own.tolist() == whole.samples["latency_ms"].to_numpy()[asked["sample"].to_numpy()].tolist()
    rates = [np.mean(timeline(frame).rate_per_s) for frame in (samples, whole.samples)]
    assert rates[0] == pytest.approx(rates[1], rel=0.01)
