"""What is counted beside the times: by connections that come and go, and by threads that end."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest
from valkey import Valkey

from adx_lab.capture.database.companions import (
    CompanionReading,
    WatchedVariant,
    companions_between,
    process_usage,
    read_companions,
)

NUMBER = 9


def commands(before: dict[int, int] | None, after: dict[int, int] | None) -> int | None:
    found = companions_between(
        CompanionReading(valkey_commands=before), CompanionReading(valkey_commands=after), {}
    )
    count: int | None = found["valkey_commands"]
    return count


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({1: 5, 2: 10}, {1: 9, 2: 12}, 6),
        ({1: 5}, {1: 9, 7: 3}, 7),  # one that came
        ({1: 5, 2: 4_000}, {1: 9, 3: 8}, None),  # one that went took its count along
        (None, {1: 9}, None),
        ({1: 5}, None, None),
    ],
)
def test_commands_are_counted_by_connection(
    before: dict[int, int] | None, after: dict[int, int] | None, count: int | None
) -> None:
    assert commands(before, after) == count


def test_neither_our_own_commands_count_nor_those_of_other_databases(valkey_url: str) -> None:
    url = f"{valkey_url.split('?', maxsplit=1)[0]}?db={NUMBER}"
    watched = WatchedVariant(valkey_url=url)

    def read() -> CompanionReading:
        return asyncio.run(read_companions(watched))

    with Valkey.from_url(url) as one, Valkey.from_url(url.replace(f"db={NUMBER}", "db=8")) as other:
        one.set("mark", "1")
        other.set("mark", "1")
        before = read()
        for _ in range(20):
            one.get("mark")
            other.get("mark")
        assert commands(dict(before.valkey_commands or {}), dict(read().valkey_commands or {})) == 20
    with Valkey.from_url(url) as again:
        again.get("mark")
        assert commands(dict(before.valkey_commands or {}), dict(read().valkey_commands or {})) is None


def test_the_time_of_a_thread_that_has_ended_is_kept() -> None:
    def burn() -> None:
        while time.thread_time() < 0.05:
            pass

    before, _ = process_usage([os.getpid()])
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    after, resident_mb = process_usage([os.getpid()])
    assert after - before >= 0.05
    assert resident_mb > 1
