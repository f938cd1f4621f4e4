from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import adx_lab.core
from adx_lab.core.database.database import QUERIES
from adx_lab.core.database.schema import index_statements
from adx_lab.core.sql import PLACEHOLDERS, load_queries

FOLDER = Path(adx_lab.core.__file__).parent
MOMENT = datetime(2025, 1, 1, tzinfo=UTC)
SAMPLES: dict[str, Any] = {
    "$email": "x", "$now": MOMENT, "$cursor_created_at": MOMENT, "$limit": 3, "$offset": 0, "$text": "x",
    "$bool": True, "$int": 1, "$json": "{}", "$bytes": b"x", "$texts": ["x"],
}  # fmt: skip


def sample(placeholder: str) -> object:
    return [str(uuid4())] if placeholder == "$uuids" else SAMPLES.get(placeholder, str(uuid4()))


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_runs_with_samples_of_its_params(name: str, seeded_url: str) -> None:
    query = QUERIES[name]
    connection = await asyncpg.connect(seeded_url)
    transaction = connection.transaction(readonly=not query.writes)
    await transaction.start()
    try:
        await connection.fetch(query.sql, *(sample(placeholder) for _, placeholder in query.params))
    except asyncpg.ForeignKeyViolationError:
        assert query.writes  # a row for a tenant that never was: refused, as it should be
    finally:
        await transaction.rollback()
        await connection.close()


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_described_and_used(name: str) -> None:
    assert QUERIES[name].description.endswith(".")
    code = "".join(path.read_text() for path in FOLDER.rglob("*.py"))
    listed = re.search(rf"Lister\(\"{re.escape(name.rpartition('.')[0])}\"\)", code)
    assert f'"{name}"' in code or listed


def test_there_is_no_sql_in_the_services_code() -> None:
    allowed = {"schema.py", "sample.py", "main.py", "worker.py", "bench.py", "dataset.py", "sql.py"}
    for path in FOLDER.rglob("*.py"):
        statements = re.findall(r'"(?:SELECT|INSERT|UPDATE|DELETE|WITH) ', path.read_text())
        assert not statements or path.name in allowed, path.name


def test_every_placeholder_is_documented() -> None:
    text = (FOLDER / "sql.py").read_text().partition('"""')[2].partition('"""')[0]
    assert all(f"``{placeholder}``" in text for placeholder in PLACEHOLDERS)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("-- name: a\n-- A.\n-- params: x=$unknown\nSELECT $1", "malformed"),
        ("-- name: a\n-- A.\n-- params: x=$int\nSELECT 1", "names 1 params"),
        ("-- name: a\n-- A.\nSELECT $1", "names 0 params"),
        ("-- name: a\n-- A.\n", "no statement"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "two queries"),
    ],
)
def test_a_file_that_is_wrong_is_refused(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text(text)
    with pytest.raises(ValueError, match=wrong):
        load_queries(tmp_path)


def test_every_index_has_a_name_and_is_made_concurrently() -> None:
    names = [match["name"] for match, _ in index_statements()]
    assert len(names) == len(set(names))
    assert {"idx_users_tenant_email", "idx_users_tenant_active", "idx_files_tenant_owner_created"} <= set(
        names
    )
