"""The line that keeps memory is named, whoever allocates it."""

from __future__ import annotations

import pytest

from adx_lab.analysis.functions.growth import (
    Place,
    function_at,
    grown,
    growth_by_function,
    growth_findings,
)

TEXT = """import json

KEPT = []


class Users:
    def get(self):
        def inner():
            return json.loads("[1]")
        KEPT.append(inner())
"""
LIBRARY = ("/usr/lib/python3.11/json/decoder.py", 7)


def place(root: str, line: int) -> Place:
    return ("/usr/lib/runpy.py", 1), (f"{root}/app/users.py", line), LIBRARY


@pytest.mark.parametrize(
    ("line", "function"),
    [(3, ""), (7, "Users.get"), (9, "Users.get.<locals>.inner"), (10, "Users.get"), (99, "")],
)
def test_a_line_is_known_by_the_function_around_it(line: int, function: str) -> None:
    assert function_at(TEXT, line) == function
    assert function_at(None, line) == function_at("no (python", line) == ""


def test_what_grows_under_both_is_no_finding_and_a_library_is_charged_to_its_caller() -> None:
    kept = {}
    for root, leaked in (("/srv/base", 0), ("/srv/head", 50_000)):
        before = {place(root, 9): 1_000, place(root, 10): 500, (LIBRARY,): 1}
        after = {place(root, 9): 21_000 + leaked, place(root, 10): 500, (LIBRARY,): 1_000_000}
        kept[root] = growth_by_function(before, after, root=root, text=lambda _: TEXT, requests=100)
    found = list(grown("GET /users", kept["/srv/base"], kept["/srv/head"]))
    inner = next(one for one in found if one.function.endswith("inner"))
    assert (inner.base_bytes, inner.head_bytes, inner.line) == (200.0, 700.0, 9)
    (finding,) = growth_findings(found)
    assert finding.evidence["file"] == "app/users.py"
    assert finding.endpoints == ("GET /users",)
    assert "keeps 700 bytes of each GET /users, 200 before" in finding.cause
    same = list(grown("GET /users", kept["/srv/base"], kept["/srv/base"]))
    assert growth_findings(same) == ()
