from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adx_lab.errors import UsageError
from adx_lab.report.notebooks.parameters import check_given, check_injected, parameters_in
from tests.conftest import CHECKOUT

CELL = 'run_id = "latest"  # a run\nthink_s = 8.5\nscopes = 500\n'
KNOWN: dict[str, Any] = {"run_id": "latest", "think_s": 8.5, "scopes": 500}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"run_di": "x"}, "the notebook has no parameter run_di; did you mean run_id?"),
        ({"queue": 1}, "there are run_id, think_s, scopes"),
        ({"run_id": 3}, "the parameter run_id is 3, not text"),
        ({"scopes": 2.5}, "scopes is 2.5, not a whole number"),
        ({"scopes": True}, "scopes is True, not a whole number"),
        ({"think_s": "long"}, "think_s is 'long', not a number"),
    ],
)
def test_a_wrong_parameter_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_given(given, KNOWN)
    assert said in str(refused.value)
    injected = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    with pytest.raises(UsageError) as noticed:
        check_injected(["", CELL, injected, "open_judgement()"])
    assert str(noticed.value) == str(refused.value)


def test_what_fits_is_taken() -> None:
    check_given({"think_s": 5, "run_id": "2026"}, KNOWN)
    check_injected(["", CELL, '# Parameters\nrun_id = "2026"\nthink_s = 5\n', "open_judgement()"])
    check_injected(["", CELL, "open_judgement()"])
    check_injected()  # outside of a kernel nothing was injected


def test_each_notebooks_cell_is_read(tmp_path: Path) -> None:
    assert parameters_in(CHECKOUT / "notebooks" / "latency.ipynb") == {"run_id": "latest", "home": ""}
    (tmp_path / "broken.ipynb").write_text("{}")
    with pytest.raises(UsageError, match="is no notebook"):
        parameters_in(tmp_path / "broken.ipynb")
