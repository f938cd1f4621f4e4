"""A few nights of the soak (`make soak` runs fifty): whatever is killed, nothing is lost or left."""

from __future__ import annotations

from tests.conftest import Home
from tests.soak import soak


def test_nights_that_are_killed_lose_nothing_and_leave_nothing(home: Home) -> None:
    nights = list(soak(home, 2, seed=7))
    home.adx_lab("down", "--purge")
    assert [str(night) for night in nights if night.faults] == []
    assert nights[-1].victim == "nobody"
