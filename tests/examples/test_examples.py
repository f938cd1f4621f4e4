"""The examples, as a newcomer runs them: each with its project file, in a repository of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adx_lab.conduct.nights.usual import compare_night
from adx_lab.conduct.run import recorded
from adx_lab.conduct.run.request import load_request
from adx_lab.conduct.run.surroundings import surroundings
from adx_lab.progress import Silent
from adx_lab.services.sources import commit_of
from adx_lab.settings import read_budgets, read_settings
from adx_lab.store.folders import StoredRun, open_run, run_ids
from tests.conftest import CHECKOUT, Finished

REGRESSION = CHECKOUT / "examples" / "shop" / "regression" / "n_plus_one_and_dropped_index.patch"
ORDERS, LIST, ITEM = "GET /customers/[id]/orders", "GET /products", "GET /products/[id]"


def git(folder: Path, *words: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def adx_lab(folder: Path, *words: str) -> Finished:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ADX_")}
    done = subprocess.run(
        [sys.executable, "-m", "adx_lab.cli", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def copied(name: str, folder: Path) -> Path:
    place = folder / name
    ignored = shutil.ignore_patterns("__pycache__", ".adx-lab")
    shutil.copytree(CHECKOUT / "examples" / name, place, ignore=ignored)
    (place / ".gitignore").write_text(".adx-lab/\n__pycache__/\n")
    git(place, "init", "-q")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "as shipped")
    return place


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = copied("shop", tmp_path_factory.mktemp("examples"))
    yield place
    adx_lab(place, "down", "--purge")


async def load_as_a_night(place: Path) -> StoredRun:
    """Make the loaded run of a night, without its notebooks."""
    settings = read_settings({}, {"home": str(place), "load.duration_s": 6.0, "load.warmup_s": 2.0})
    given = frozenset({"duration_s", "warmup_s"})
    request = load_request(settings, None, None, given=given, purpose="nightly")
    async with surroundings(settings, Silent(), fresh=True) as around:
        return await recorded.record_load(settings, around, request, Silent())


async def test_a_night_after_the_regression_names_endpoint_statement_and_plan(shop: Path) -> None:
    settings = read_settings({}, {"home": str(shop)})
    first = await load_as_a_night(shop)
    assert (first.record.service, first.record.environment) == ("shop", "local")
    assert first.record.git.commit == commit_of(shop, "HEAD")
    judged = recorded.judge(settings, first)
    assert {row.subject for row in judged.endpoints} == {ORDERS, LIST, ITEM}
    assert judged.measured[f"endpoint.{ORDERS}.statements_per_request"].value == 2
    # Whatever else this machine does meanwhile: here it counts as a valid night.
    recorded.keep_row(settings, judged, status="pass")

    # Who asks one request at a time records no run beside.
    assert run_ids(settings.runs_dir) == [first.record.run_id]

    same = compare_night(settings, recorded.judge(settings, await load_as_a_night(shop)))
    assert same.nights == (first.record.run_id,)
    counted = [
        one for one in same.comparisons if one.metric in {"statements_per_request", "pages_per_request"}
    ]
    assert {one.status for one in counted} == {"same"}

    git(shop, "apply", str(REGRESSION))
    git(shop, "commit", "-qam", "Simplify the orders")
    answer = compare_night(settings, recorded.judge(settings, await load_as_a_night(shop)))
    slower = {(one.subject, one.metric) for one in answer.comparisons if one.status == "slower"}
    assert {(ORDERS, "statements_per_request"), (LIST, "pages_per_request")} <= slower
    plan = next(one for one in answer.findings if one.kind == "index")
    assert plan.endpoints == (LIST,)
    assert "Index Scan using products_category on products became Seq Scan" in plan.cause
    assert str(plan.mend).startswith("CREATE INDEX CONCURRENTLY products_category ON public.products")
    many = next(one for one in answer.findings if one.kind == "n+1")
    assert many.endpoints == (ORDERS,)
    assert "from products where products.id" in str(many.evidence["statement"])


def test_two_commits_of_it_are_compared_both_up_at_once(shop: Path) -> None:
    log = subprocess.run(["git", "log", "--format=%h"], cwd=shop, capture_output=True, text=True, check=True)
    if len(log.stdout.split()) < 2:
        git(shop, "apply", str(REGRESSION))
        git(shop, "commit", "-qam", "Simplify the orders")
    words = ("--blocks", "1", "--seconds", "3", "--rate", "15", "--warmup", "1", "--json")
    done = adx_lab(shop, "duet", "HEAD~1", ".", *words)
    assert done.code in {1, 3, 4}, done.err  # one block decides nothing
    run = open_run(read_settings({}, {"home": str(shop)}).runs_dir, done.json()["run_id"])
    samples = run.table("samples")
    assert set(samples["variant"]) == {"base", "head"}
    serial = samples[samples["movement"] == "serial"]
    assert set(serial["endpoint"]) == {ORDERS, LIST, ITEM}
    assert set(run.table("counts")["endpoint"]) == {ORDERS, LIST, ITEM}
    pairs = samples[samples["pair"] >= 0].groupby(["pair", "variant"], observed=True)["endpoint"].agg(list)
    for number in {pair for pair, _ in pairs.index}:
        if (number, "base") in pairs.index and (number, "head") in pairs.index:
            assert pairs[(number, "base")] == pairs[(number, "head")]
    block = run.companions()[0]
    asked = {side: _calls(block[side]) / block[side]["requests"] for side in ("base", "head")}
    assert asked["head"] > asked["base"] + 0.5
    # What the locustfile does not ask is not to be judged: else nothing could ever pass.
    assert not [line for line in done.json()["coverage"]["unjudged"] if "no request" in line]
    found = {one["kind"]: one for one in done.json()["findings"]}
    assert found["n+1"]["endpoints"] == [ORDERS]
    assert "from products where products.id" in found["n+1"]["evidence"]["statement"]
    assert LIST in found["index"]["endpoints"]
    assert "became Seq Scan" in found["index"]["cause"]


def _calls(companions: Any) -> float:
    return sum(float(one["calls"]) for one in companions["statements"].values())


@pytest.mark.acceptance
def test_a_bisection_finds_the_commit_that_asks_again_and_again(tmp_path: Path) -> None:
    place = copied("shop", tmp_path)
    app = place / "shop" / "app.py"
    for number in range(8):
        if number == 5:
            git(place, "apply", str(REGRESSION))
        app.write_text(f"{app.read_text()}\n\ndef unused_{number}() -> int:\n    return {number}\n")
        git(place, "commit", "-qam", f"Change {number}")
    try:
        done = adx_lab(place, "bisect", "HEAD~8", "HEAD", "--limit", "500", "--json")
        told = done.json()
        assert told["status"] == "found", done.err
        assert told["suspects"][0]["sha"] == commit_of(place, "HEAD~2")
        assert len(told["steps"]) <= 8
    finally:
        adx_lab(place, "down", "--purge")


TRACED = """\
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from shop.app import app, engine

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
FastAPIInstrumentor.instrument_app(app)
SQLAlchemyInstrumentor().instrument(engine=engine.sync_engine, skip_dep_check=True)
"""


@pytest.mark.acceptance
def test_spans_name_an_n_plus_one_of_an_instrumented_service(tmp_path: Path) -> None:
    place = copied("shop", tmp_path)
    project = place / "adx-lab.toml"
    text = project.read_text().replace('timing = "none"', 'timing = "otel"')
    project.write_text(text.replace("shop.app:app", "shop.traced:app"))
    (place / "shop" / "traced.py").write_text(TRACED)
    git(place, "add", "-A")
    git(place, "commit", "-qm", "Instrument it")
    git(place, "apply", str(REGRESSION))
    git(place, "commit", "-qam", "Simplify the orders")
    try:
        done = adx_lab(place, "duet", "HEAD~1", ".", "--profile", "quick", "--rate", "25", "--json")
        assert done.code in {1, 4}, done.err
        findings = done.json()["findings"]
        many = next(one for one in findings if one["kind"] == "n+1")
        assert many["endpoints"][0] == ORDERS
        assert "from products" in json.dumps(many["evidence"]).lower()
        run = open_run(read_settings({}, {"home": str(place)}).runs_dir, done.json()["run_id"])
        samples = run.table("samples")
        assert samples[samples["movement"] == "open"]["server_ms"].notna().mean() > 0.9
        alone = adx_lab(place, "load", "--duration", "4", "--warmup", "1")
        assert "n+1" in alone.out, alone.out
    finally:
        adx_lab(place, "down", "--purge")


def test_a_service_without_a_database(tmp_path: Path) -> None:
    place = copied("plain", tmp_path)
    done = adx_lab(place, "load", "--duration", "2", "--warmup", "1", "--json")
    assert done.code in {0, 3, 4}, done.err  # a busy machine makes it invalid, and nothing else
    told = json.loads(done.out)
    assert {row["subject"] for row in told["endpoints"]} == {"GET /hello", "GET /digest/[id]"}
    assert not (place / ".adx-lab" / "stack" / "logs" / "postgres.log").exists()
    assert {item["metric"] for item in told["budgets"]} == {
        "endpoint.GET /digest/[id].p95_ms",
        "endpoint.GET /hello.p95_ms",
        "error_rate",
    }


@pytest.mark.parametrize(
    ("change", "said", "code"),
    [
        (
            ('command = "{python} service.py {port}"', 'command = "{python} nowhere.py {port}"'),
            "nowhere.py",
            2,
        ),
        (('ready = "/hello"', 'redy = "/hello"'), "unknown setting service.start.redy", 2),
        (('locustfile = "locustfile.py"', 'locustfile = "gone.py"'), "there is no locustfile", 2),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, change: tuple[str, str], said: str, code: int) -> None:
    place = copied("plain", tmp_path)
    file = place / "adx-lab.toml"
    file.write_text(file.read_text().replace(*change))
    done = adx_lab(place, "load", "--duration", "1")
    assert done.code == code, done.err
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]


def test_init_describes_the_shop_and_its_first_run_is_listed(tmp_path: Path) -> None:
    place = copied("shop", tmp_path)
    (place / "adx-lab.toml").unlink()
    serve = "{python} -m granian --interface asgi --host {host} --port {port} --no-access-log shop.app:app"
    words = ("--command", serve, "--ready", "/health", "--prepare", "{python} -m shop.seed")
    database = ("--env", "DATABASE_URL=postgresql+asyncpg://{database}")
    try:
        done = adx_lab(place, "init", *words, *database, "--locustfile", "loadtests/locustfile.py")
        assert done.code == 0, done.err
        settings = read_settings({}, {"home": str(place)})
        limited = {one.metric for one in read_budgets(settings.budgets_file, "locustfile")}
        assert {"statement.*.mean_ms", "error_rate"} < limited
        assert any(name.startswith(f"endpoint.{LIST}.p") for name in limited)
        listed = adx_lab(place, "runs", "list")
        assert "has no row" not in listed.err
        assert "not judged" in listed.out
    finally:
        adx_lab(place, "down", "--purge")
