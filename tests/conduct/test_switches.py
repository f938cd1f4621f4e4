"""Rules measured on the session's stack: one block of the cheapest, so that the form is what decides."""

from __future__ import annotations

from typing import Any

import pytest

from adx_lab.conduct.switches.catalogue import MEASURES
from adx_lab.conduct.switches.measure import RulesOrder
from adx_lab.core.rules import RULES
from adx_lab.errors import UsageError
from tests.conftest import CHECKOUT, Finished, Home


@pytest.fixture(scope="module")
def measured(stack_home: Home) -> Finished:
    """A rule that costs something, by a probe; and one that makes blind, under load."""
    words = ("cache.invalidation", "metrics.memory", "--blocks", "1", "--seconds", "1", "--rate", "60")
    return stack_home.adx_lab("rules", *words, "--json")


def test_every_rule_of_the_core_is_measured() -> None:
    assert list(MEASURES) == list(RULES)
    for measure in MEASURES.values():
        assert measure.probe is not None or (CHECKOUT / f"locustfiles/{measure.scenario}.py").is_file()


def test_one_block_decides_nothing_and_says_so(measured: Finished) -> None:
    assert measured.code == 3, measured.err
    stale, memory = measured.json()["rules"]
    assert (stale["status"], stale["blocks"]) == ("undecided", 1)
    assert "few-blocks" in {caveat["code"] for caveat in stale["caveats"]}
    assert memory["run_id"] == stale["run_id"]


def test_a_stale_permission_is_seen(measured: Finished) -> None:
    stale = measured.json()["rules"][0]
    assert stale["broken"] == 1000  # as long as it was watched
    assert stale["kept"] < stale["broken"]
    assert "requests let in" in stale["evidence"]


def test_blindness_needs_a_signal_and_not_a_time(measured: Finished) -> None:
    memory = measured.json()["rules"][1]
    assert (memory["kind"], memory["status"]) == ("blindness", "blind")
    assert "series memory_usage_bytes seen in 1 of 1 with the rule on, in 0" in memory["evidence"]
    assert memory["kept"] > 0
    assert memory["broken"] > 0


def test_what_was_measured_is_stored(measured: Finished, stack_home: Home) -> None:
    listed = stack_home.adx_lab("rules", "--list", "--json")
    assert listed.code == 0, listed.err
    run_id = measured.json()["rules"][0]["run_id"]  # other tests may have stored others
    assert [rule for rule in listed.json()["rules"] if rule["run_id"] == run_id] == measured.json()["rules"]
    one = stack_home.adx_lab("rules", "metrics.memory", "--list")
    assert "blind" in one.out
    assert "cache.invalidation" not in one.out


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"names": ("cache.l3",)}, "no rule is called cache.l3; did you mean cache.l"),
        ({"blocks": 0}, "--blocks 0"),
        ({"seconds": 0.0}, "seconds"),
        ({"rate_per_s": -1.0}, "--rate -1"),
    ],
)
def test_what_can_not_be_measured_is_refused(order: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RulesOrder(**order)


def test_wrong_use_is_one_line(home: Home) -> None:
    done = home.adx_lab("rules", "db.index")
    assert done.code == 2, done.err
    assert done.error_lines == ["adx-lab: no rule is called db.index; did you mean db.indexes?"]
