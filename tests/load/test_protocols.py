"""What is no HTTP: clients that Locust ships, on real servers, recorded as they tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tests.conftest import Home
from tests.load.conftest import TruthServer

DATABASE = """
import os
from locust import constant, task
from locust.contrib.postgres import PostgresUser

class Asks(PostgresUser):
    wait_time = constant(0.05)
    fixed_count = 1
    conn_string = os.environ["THEIR_DATABASE"]

    @task
    def ask(self):
        self.client.execute_query("SELECT pg_sleep(0.02)")

class Errs(Asks):
    @task
    def ask(self):
        self.client.execute_query("SELECT nothing")

class Waits(Asks):
    @task
    def ask(self):
        self.client.execute_query("SELECT pg_sleep(60)")
"""


def test_a_database_is_recorded_as_its_client_tells_it(
    home: Home, truth_server: TruthServer, stack_state: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "database.py"
    file.write_text(DATABASE)
    asked = ("--locustfile", str(file), "--url", truth_server.url, "--duration", "3", "--warmup", "0.5")
    done = home.adx_lab(
        "load", *asked, "--users", "3", "--json", environ={"THEIR_DATABASE": stack_state["database_url"]}
    )
    document = done.json()
    audit = document["audit"]
    samples = pd.read_parquet(Path(document["folder"]) / "samples.parquet")
    assert audit["requests"] + audit["warmup_requests"] == audit["locust"]["requests"]
    asked_for = samples[samples["request_type"] == "postgres_success"]
    assert asked_for["service_ms"].median() >= 19  # Locust's client cuts to whole milliseconds
    assert samples["t_sent_s"].between(-3, 4).all()
    reasons = {row["reason"].split(":")[0]: row for row in document["failures"] if row["endpoint"]}
    # The first error, of an unknown column, was in the warm-up; PostgreSQL refuses all that comes after it.
    assert reasons["InFailedSqlTransaction"]["endpoint"] == "postgres_failure execute_query"
    assert (samples["kind"] == "unanswered").sum() == 1
    assert samples[samples["kind"] == "unanswered"]["endpoint"].item() == "task Waits.ask"
