from __future__ import annotations

import pytest

from adx_lab.report.parts.numbers import interval, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (0.00012345, "0.000123"),
        (1.23456, "1.23"),
        (12.3456, "12.3"),
        (123.456, "123"),
        (123456.7, "123,457"),
        (50, "50"),
        (100, "100"),
        (-1.5, "-1.5"),
    ],
)
def test_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_open_ends_are_said() -> None:
    assert interval(1.0, None) == "1 to …"
    assert interval(None, None) == "–"
    assert interval(2.0, 2.0) == "exact"
