"""The function that became slower is named, and of equals none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adx_lab.analysis.functions.comparison import compare_functions, function_findings
from adx_lab.analysis.functions.stacks import OUTSIDE, Frame, Function, StackProfile, costs_of, read_folded
from tests.analysis.functions.seeded import ROOT, Seeded, service


@pytest.mark.parametrize("count", [15, pytest.param(50, marks=pytest.mark.acceptance)])
def test_seeded_slowdowns_are_named_and_equals_are_not(count: int) -> None:
    rng = np.random.default_rng(2_020)
    stacks = service(rng, 150)
    named = wrong = 0
    for _ in range(count):
        guilty, added_us = int(rng.integers(len(stacks))), float(np.exp(rng.uniform(np.log(20), np.log(500))))
        changes = compare_functions(Seeded(stacks, rng, added_us, guilty).blocks())
        findings = function_findings(changes)
        own = [frame for frame in stacks[guilty][0] if frame.file.startswith(ROOT)][-1]
        named += bool(findings) and findings[0].subject == own.name
        wrong += bool(function_findings(compare_functions(Seeded(stacks, rng).blocks())))
    assert named >= 0.9 * count
    assert wrong == 0


def test_the_change_is_told_in_microseconds_a_request() -> None:
    rng = np.random.default_rng(1)
    stacks = service(rng, 40)
    (first, *_) = compare_functions(Seeded(stacks, rng, 100.0, 3, machine=0.0).blocks())
    assert first.status == "slower"
    assert first.low_us < 100 < first.high_us
    assert abs(first.change_us - 100) < 15
    assert first.p <= 0.005
    assert first.line == stacks[3][0][-1].line or stacks[3][0][-1].file.startswith("/usr")


def test_a_library_is_charged_to_the_function_that_called_it() -> None:
    own = Frame("handle", f"{ROOT}/shop/users.py", 12)
    library = (
        Frame("dumps", "/usr/lib/python3.11/json/__init__.py", 231),
        Frame("encode", "/usr/lib/x.py", 9),
    )
    installed = Frame("run", f"{ROOT}/.venv/lib/python3.11/site-packages/asgi.py", 1)
    profile = StackProfile(
        {(installed, own, *library): 30, (installed, own): 10, (installed,): 60}, 1e6, 100, ROOT
    )
    costs = costs_of(profile)
    handle = costs[Function("handle", "shop/users.py")]
    assert handle.self_us == pytest.approx(0.4 * 1e6 / 100)
    assert handle.lines == {12: pytest.approx(4_000.0)}
    assert Function("run", ".venv/lib/python3.11/site-packages/asgi.py") not in costs
    assert sum(one.self_us for one in costs.values()) == pytest.approx(1e4)


def test_a_server_that_calls_back_is_nobodys_but_what_it_calls_is() -> None:
    serve = Frame("serve", f"{ROOT}/main.py", 9)
    loop = Frame("run_forever", "/usr/lib/site-packages/server.py", 40)
    handle = Frame("handle", f"{ROOT}/users.py", 12)
    dumps = Frame("dumps", "/usr/lib/python3.11/json/__init__.py", 231)
    costs = costs_of(
        StackProfile(
            {
                (serve, loop): 50,
                (serve, loop, handle): 10,
                (serve, loop, handle, dumps): 20,
                (serve, dumps): 5,
            },
            8_500.0,
            1,
            ROOT,
        )
    )
    assert costs[OUTSIDE].self_us == pytest.approx(5_000)
    assert costs[Function("handle", "users.py")].self_us == pytest.approx(3_000)
    assert costs[Function("serve", "main.py")].self_us == pytest.approx(500)


def test_inclusive_time_counts_a_recursion_once() -> None:
    walk, leaf = Frame("walk", f"{ROOT}/a.py", 1), Frame("leaf", f"{ROOT}/a.py", 9)
    costs = costs_of(StackProfile({(walk, walk, leaf): 5, (walk,): 5}, 1e3, 1, ROOT))
    assert costs[Function("walk", "a.py")].inclusive_us == pytest.approx(1e3)
    assert costs[Function("walk", "a.py")].self_us == pytest.approx(500)
    assert costs[Function("leaf", "a.py")].callers == {Function("walk", "a.py"): pytest.approx(500.0)}


def test_a_function_whose_lines_differ_comes_before_one_that_is_called_more_often() -> None:
    rng = np.random.default_rng(2)
    stacks = service(rng, 40)
    seeded = Seeded(stacks, rng, 100.0, 3, machine=0.0)
    blocks = seeded.blocks()
    again = Seeded(stacks, rng, 130.0, 11, machine=0.0).blocks()
    merged = [
        (
            base,
            StackProfile(
                {**head.stacks, **{k: v for k, v in more.stacks.items() if k == stacks[11][0]}},
                head.cpu_us * 1.3,
                head.requests,
                ROOT,
            ),
        )
        for (base, head), (_, more) in zip(blocks, again, strict=True)
    ]
    names = [[f for f in stacks[i][0] if f.file.startswith(ROOT)][-1].name for i in (3, 11)]
    changes = compare_functions(merged)
    assert {one.function.name for one in changes if one.status == "slower"} >= set(names)
    first = function_findings(changes, lambda one: one.name == names[0])[0]
    assert first.subject == names[0]
    assert "its lines differ" in first.cause
    assert function_findings(changes, lambda _: False)[0].subject == names[1]


def test_too_few_blocks_say_nothing() -> None:
    rng = np.random.default_rng(3)
    assert compare_functions(Seeded(service(rng, 10), rng, 500.0).blocks(4)) == ()
    assert compare_functions([]) == ()


def test_a_thread_in_no_known_function_counts_as_outside() -> None:
    # A server in another language has threads of its own: py-spy prints them as stacks without frames.
    stacks = read_folded("handle (shop/users.py:12) 3\n 9\n")
    costs = costs_of(StackProfile(stacks, 12e3, 1))
    assert costs[Function("handle", "shop/users.py")].self_us == pytest.approx(3e3)
    assert costs[OUTSIDE].self_us == pytest.approx(9e3)


def asked(
    blocks: list[tuple[StackProfile, StackProfile]], endpoint: str
) -> list[tuple[StackProfile, StackProfile]]:
    return [(replace(base, endpoint=endpoint), replace(head, endpoint=endpoint)) for base, head in blocks]


def test_what_only_one_endpoint_pays_is_named_with_it_and_what_two_pay_once() -> None:
    rng = np.random.default_rng(7)
    stacks = service(rng, 60)
    guilty = [[f for f in stacks[i][0] if f.file.startswith(ROOT)][-1].name for i in (3, 11)]
    blocks = asked(Seeded(stacks, rng, 60.0, 3).blocks(), "GET /a")
    blocks += asked(Seeded(stacks, rng, 90.0, 11).blocks(), "GET /b")
    blocks += asked(Seeded(stacks, rng, 80.0, 11).blocks(), "GET /c")
    blocks += asked(Seeded(stacks, rng).blocks(), "GET /d")
    findings = function_findings(compare_functions(blocks))
    assert [(one.subject, set(one.endpoints)) for one in findings] == [
        (guilty[1], {"GET /b", "GET /c"}),
        (guilty[0], {"GET /a"}),
    ]
    assert "(and for 1 other endpoint)" in findings[0].cause


def test_folded_stacks_of_any_sampler_are_read() -> None:
    stacks = read_folded("main;handle (shop/users.py:12);json::dumps 3\nmain;handle (shop/users.py:12) 2\n\n")
    assert stacks[Frame("main"), Frame("handle", "shop/users.py", 12), Frame("json::dumps")] == 3
    costs = costs_of(StackProfile(read_folded("main;work;inner 3\nmain 1\n"), 4e3, 1))
    assert costs[Function("inner")].self_us == pytest.approx(3e3)
    with pytest.raises(ValueError, match="line 2 of the folded stacks"):
        read_folded("main 1\nword\n")
    with pytest.raises(ValueError, match="line 2 of the folded stacks"):
        read_folded("main 1\nno number\n")
