"""What is stored is what the docs describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adx_lab.records.run import FORMAT
from tests.conftest import CHECKOUT, Home
from tests.promises.schemas import FOLDER, schemas


@pytest.mark.parametrize("name", ["run", "verdict"])
def test_the_schema_in_the_docs_is_the_codes(name: str) -> None:
    written = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert written == schemas()[name], "python -m tests.promises.schemas writes it anew"


def test_the_docs_name_the_format() -> None:
    assert f"format {FORMAT}" in (CHECKOUT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_a_nights_documents_keep_their_schemas(night: Any, stack_home: Home) -> None:
    verdict = night.json()
    jsonschema.validate(verdict, schemas()["verdict"])
    records = sorted((stack_home.data / "runs").glob("*/run.json"))
    assert records
    for path in records:
        jsonschema.validate(json.loads(Path(path).read_text(encoding="utf-8")), schemas()["run"])
