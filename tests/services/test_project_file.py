"""The project file: found upwards, refused with the nearest word, read once by everybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab.errors import UsageError
from adx_lab.services.attached import postgres_url
from adx_lab.services.project import FirstFigures, Wish, budgets_text, project_text
from adx_lab.settings import CHECKOUT, read_budgets, read_settings

SHOP = '[service]\nname = "shop"\nurl = "http://127.0.0.1:1"\n'


def write(folder: Path, text: str) -> Path:
    file = folder / "adx-lab.toml"
    file.write_text(text)
    return file


def test_it_is_found_upwards_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, SHOP)
    below = tmp_path / "src" / "shop"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    settings = read_settings({})
    assert settings.project_file == str(file)
    assert settings.home_dir == tmp_path
    assert (settings.key, settings.is_reference) == (("shop", "local"), False)


def test_without_one_the_reference_core_is_described_as_any_other() -> None:
    settings = read_settings({}, {"home": str(CHECKOUT)})
    assert settings.is_reference
    assert settings.service.start.env["ADX_CORE_DATABASE_URL"] == "{database_url}"
    assert settings.source_dir == CHECKOUT


def test_a_file_that_describes_nothing_only_changes_the_reference_core(tmp_path: Path) -> None:
    write(tmp_path, '[service.start.env]\nADX_CORE_POOL_MAX = "7"\n')
    settings = read_settings({}, {"home": str(tmp_path)})
    assert settings.is_reference
    assert settings.service.start.env["ADX_CORE_POOL_MAX"] == "7"
    assert settings.service.start.env["ADX_CORE_PORT"] == "{port}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[service.strat]\ncommand = 'x'\n", "unknown setting service.strat.command"),
        ("[service]\nnames = 'x'\n", "did you mean service.name"),
        ("[[budget]]\nendpoint = 'GET /'\np95 = 3\n", "unknown key p95; did you mean p95_ms"),
        ("[[budget]]\nendpoint = 'GET /'\n", "has no limit"),
        ("[[budget]]\np95_ms = 3\n", "limits nothing"),
        ("[service]\ntiming = 'watch'\n", r"service\.timing in .* is 'watch': invalid enum value"),
        ("[service\n", "is not TOML"),
        (
            "[service]\nname = 3\n",
            r"service\.name in .*adx-lab\.toml is 3: expected a text, got a whole number",
        ),
        ("service = 'shop'\n", r"unknown setting service in .*; it is a table: \[service\]"),
        ("[service]\nname = 's'\nstart = 'x'\n", r"it is a table: \[service\.start\]"),
        (
            "[service.start]\ncommand = 'x'\nenv = ['A=1']\n",
            r"service\.start\.env .* expected a table, got a list",
        ),
        ("[service.start]\ncommand = 'x'\nenv = { A = 1 }\n", r"service\.start\.env .* expected a text"),
        ("[load]\nusers = 0\n", r"load\.users .* is 0: expected a whole number >= 1"),
        ("[load]\nrate_per_s = nan\n", r"load\.rate_per_s .* is nan"),
        ("[load]\ntags = 'read'\n", r"load\.tags .* is 'read': expected a list"),
        ("[budget]\nendpoint = 'a'\n", r"begins with \[\[budget\]\]"),
        (
            "[[budget]]\nendpoint = 'a'\np95_ms = '1 s'\n",
            "budget 1 of .* wrong p95_ms: expected a number, got a text",
        ),
        ("[[budget]]\nmetric = 'endpoint.a.p96_ms'\nlimit = 1\n", "which nothing measures; adx-lab doctor"),
        ("[service]\nurl = '127.0.0.1:80'\n", r"service\.url .* write it as http://"),
        ("[service]\nname = ' '\nurl = 'http://x'\n", r"service\.name .* short name"),
        (
            '[service]\nname = "a\\nb"\nurl = "http://x"\n',
            "short name of one line",
        ),
        ("[service.start]\ncommand = 'x'\nready = 'up'\n", "write it as /up"),
        ("[service.start]\ncommand = 'x'\nport = 'http'\n", r"service\.start\.port .* is 'http'"),
        ("[service.start]\ncommand = 'x'\nready_s = -1\n", r"service\.start\.ready_s .* is -1"),
        ("[baseline]\nnights = -1\n", r"baseline\.nights .* is -1"),
        (
            "[service.database]\nprepare = 'x'\nurl = 'postgresql://a'\n",
            r"stands beside service\.database\.prepare",
        ),
        ("[service.login]\nrequest = 'POST token'\n", "say method and path"),
        ("[service.start]\ncommand = 'serve --port {port'\n", r"has \{port without .* write it as \{port\}"),
        (
            "[service.start]\ncommand = 'x'\nenv = { A = 'db://{database/x' }\n",
            r"env\.A .* \{database without",
        ),
        ("[service.start]\ncommand = ' '\n", r"service\.start\.command .* is empty"),
        ("[baseline]\nref = ''\n", r"baseline\.ref .* is empty"),
        (
            "[service.database]\nurl = 'mysql://a:s3cret@b/c'\n",
            "is of mysql: .* PostgreSQL only; leave it out",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    below = text.startswith(("[[", "[load", "[budget", "[baseline", "[service."))
    write(tmp_path, SHOP + text if below else text)
    with pytest.raises(UsageError, match=said):
        read_settings({}, {"home": str(tmp_path)})


def test_nothing_is_guessed_where_nothing_is_near(tmp_path: Path) -> None:
    write(tmp_path, "[zzz]\nqqq = 1\n")
    with pytest.raises(UsageError) as said:
        read_settings({}, {"home": str(tmp_path)})
    assert "did you mean" not in str(said.value)


def test_budgets_are_literal_and_expand(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        SHOP + '[[budget]]\nendpoint = "GET /orders/[id]"\np95_ms = 50\nstatements_per_request = 3\n'
        '[[budget]]\nendpoint = "*"\nerror_rate = 0.01\n[[budget]]\nstatement = "select ?"\np95_ms = 1\n',
    )
    assert [(one.metric, one.limit) for one in read_budgets(file, "any")] == [
        ("endpoint.GET /orders/[id].p95_ms", 50),
        ("endpoint.GET /orders/[id].statements_per_request", 3),
        ("error_rate", 0.01),
        ("query.select ?.p95_ms", 1),
    ]
    assert read_settings({}, {"home": str(tmp_path)}).budgets_file == file


def test_another_services_budgets_are_never_the_cores(tmp_path: Path) -> None:
    write(tmp_path, SHOP)
    assert read_settings({}, {"home": str(tmp_path)}).budgets_file is None


def test_what_init_writes_can_be_read(tmp_path: Path) -> None:
    wish = Wish(
        'a "shop"',
        command="uvicorn shop:app --port {port}",
        prepare="python -m seed",
        locustfile="load.py",
        env={"DATABASE_URL": "postgresql+asyncpg://{database}", "POOL.SIZE": "5"},
        branch="trunk",
    )
    text = project_text(wish) + budgets_text(
        {
            "GET /a": FirstFigures(2.0, 4.2, 400),
            "GET /b": FirstFigures(60.0, 130.0, 900),
            "GET /c": FirstFigures(3.0, 9.0, 60),
        }
        | {"GET /d": FirstFigures(3.0, 9.0, 4), "GET /e?n=1": FirstFigures(3.0, 9.0, 900)}
        | {"GET /e?n=2": FirstFigures(3.0, 9.0, 900)},
        statements=[0.2, 3.1],
    )
    file = write(tmp_path, text)
    settings = read_settings({}, {"home": str(tmp_path)})
    assert settings.service.name == 'a "shop"'
    assert settings.service.database.prepare == "python -m seed"
    assert settings.service.start.env == wish.env
    assert settings.baseline.ref == "trunk"
    limits = {one.metric: one.limit for one in read_budgets(file, "any")}
    assert limits["endpoint.GET /a.p95_ms"] == 9
    assert limits["endpoint.GET /b.p95_ms"] == 300
    # What a night can't tell makes it undecided for ever.
    assert limits["endpoint.GET /c.p50_ms"] == 6
    assert not [name for name in limits if "/d" in name]
    # Names that differ in a query's value only are one endpoint without a name.
    assert not [name for name in limits if "/e" in name]
    assert limits["statement.*.mean_ms"] == 10


def test_a_statement_is_limited_by_its_mean_and_an_endpoint_is_not(tmp_path: Path) -> None:
    limited = SHOP + '[[budget]]\nstatement = "select a from b *"\nmean_ms = 10\np95_ms = 30\n'
    found = {one.metric: one.limit for one in read_budgets(write(tmp_path, limited), "any")}
    assert found == {"statement.select a from b *.mean_ms": 10, "query.select a from b *.p95_ms": 30}
    wrong = SHOP + '[[budget]]\nendpoint = "GET /a"\nmean_ms = 10\n'
    with pytest.raises(UsageError, match="limits the mean of an endpoint; give it a p50_ms"):
        read_budgets(write(tmp_path, wrong), "any")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql+asyncpg://me@db:5433/shop", "postgresql://me@db:5433/shop"),
        (
            "postgres://me@db/shop?schema=own&pgbouncer=true",
            "postgresql://me@db/shop?options=-csearch_path%3Down",
        ),
        ("postgresql+psycopg://me@/shop?host=/run/pg", "postgresql://me@/shop?host=%2Frun%2Fpg"),
        ("postgresql://db/shop?sslmode=require&pool_size=5", "postgresql://db/shop?sslmode=require"),
    ],
)
def test_a_frameworks_database_url_is_understood(given: str, read: str) -> None:
    assert postgres_url(given) == read


def test_no_verb_imports_locust_into_the_labs_own_process() -> None:
    verbs = "adx_lab.conduct.nights.night, adx_lab.conduct.describing"
    code = f"import sys, {verbs}; sys.exit('locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
