"""Whether the lines of a function differ, as people mean it."""

from __future__ import annotations

from adx_lab.analysis.functions.sources import lines_differ

BASE = """
class Users:
    def get(self):
        return [one for one in self.all]

    async def list(self):
        def inner():
            return 1
        return inner()

LIMIT = 10
"""


def test_only_the_function_that_differs_differs() -> None:
    head = BASE.replace("return 1", "return sum(range(9))  # slowly")
    assert lines_differ("Users.list", BASE, head) is True
    assert lines_differ("Users.list.<locals>.inner", BASE, head) is True
    assert lines_differ("Users.get", BASE, head) is False
    assert lines_differ("Users.get.<locals>.<listcomp>", BASE, head) is False
    assert lines_differ("get", BASE, head) is False  # as samplers of older Pythons call it
    assert lines_differ("<module>", BASE, head) is False
    assert lines_differ("<module>", BASE, BASE.replace("10", "20")) is True


def test_comments_and_moves_are_no_difference() -> None:
    assert lines_differ("Users.get", BASE, "# A comment.\n\n" + BASE) is False


def test_what_is_unknown_is_told_as_such() -> None:
    assert lines_differ("nobody", BASE, BASE) is None
    assert lines_differ("work", None, None) is None
    assert lines_differ("work", None, BASE) is True
    assert lines_differ("main", "fn main() {}", "fn main() { work() }") is True
