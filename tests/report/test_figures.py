from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from adx_lab.report.parts.figure import Figure
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.run import figures


@pytest.fixture
def samples() -> pd.DataFrame:
    random = np.random.default_rng(5)
    count = 2_000
    return pd.DataFrame(
        {
            "t_intended_s": np.sort(random.uniform(0, 20, count)),
            "latency_ms": random.lognormal(1, 0.5, count),
            "group": random.choice(["auth", "users"], count),
            "error": None,
        }
    )


def test_every_figure_has_units_a_sentence_and_data(samples: pd.DataFrame) -> None:
    for make in (figures.latency_distribution, figures.latency_over_time, figures.latency_heat_map):
        figure = make(samples)
        titles = [axis.title.text for axis in figure.plot.select_yaxes()]
        assert all(title and ("[" in title or "/s" in title) for title in titles), titles
        assert figure.sentence.endswith(".")
        assert len(figure.plot.data) >= 1


def test_cache_and_resources_are_drawn_from_counters() -> None:
    cache = pd.DataFrame(
        [
            {"t_s": t, "layer": layer, "family": "user", "hits": hits}
            for t in (0.0, 1.0, 2.0)
            for layer, hits in (("l1", 90 * t), ("l2", 8 * t), ("database", 2 * t))
        ]
    )
    drawn = figures.cache_over_time(cache)
    assert drawn.sentence.startswith(
        "Who answered 200 cache look-ups: L1 (in process) 90.0%, L2 (Valkey) 8.0%, "
    )
    resources = pd.DataFrame(
        [
            {"t_s": t, "process": "core", "pid": pid, "cpu_s": t * 0.25, "rss_mb": 40.0}
            for t in (0.0, 1.0, 2.0)
            for pid in (1, 2)
        ]
    )
    cpu, memory = figures.resources_over_time(resources).plot.data
    assert list(cpu.y) == [50.0, 50.0]
    assert list(memory.y) == [80.0, 80.0, 80.0]


def test_nothing_in_a_figure_can_break_out_of_its_script() -> None:
    figure = Figure(go.Figure(go.Bar(x=["</script><script>alert(1)</script>"], y=[1])), 'A "sentence" <b>')
    html = figure.html()
    assert "<script>alert" not in html
    assert "&quot;sentence&quot; &lt;b>" in html
    assert figure._repr_mimebundle_()["text/plain"] == 'A "sentence" <b>'
    json.dumps(figure._repr_mimebundle_())


def test_nothing_in_a_table_can_break_out_of_its_cell() -> None:
    table = Table((Column("query"), Column("mean", "ms", "number")), (("SELECT '<b>'", 1.5),))
    html = table._repr_html_()
    assert "<b>" not in html
    assert 'class="n" data-v="1.5">1.5</td>' in html
    assert table.frame.to_dict("records") == [{"query": "SELECT '<b>'", "mean_ms": 1.5}]
