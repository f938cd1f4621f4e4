"""What is sampled in a duet's blocks is kept, read again, and named in its findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.comparison import compare_functions, function_findings
from adx_lab.analysis.functions.stacks import Frame, Stack, StackProfile
from adx_lab.analysis.functions.stored import PROFILED, known_lines, profiles_of
from adx_lab.capture.profiles.sampler import Sampled
from adx_lab.conduct.duet.judge import with_functions
from adx_lab.conduct.duet.profiling import Profiles, Profiling, SampledEndpoint
from tests.analysis.functions.seeded import ROOT, Seeded, service


def moved(profile: StackProfile, root: Path) -> Sampled:
    """The same stacks, as if their sources lay in another folder."""

    def there(stack: Stack) -> Stack:
        return tuple(Frame(one.name, one.file.replace(ROOT, str(root)), one.line) for one in stack)

    return Sampled({there(stack): count for stack, count in profile.stacks.items()}, profile.cpu_us, 2.0)


def test_profiles_are_kept_and_name_the_function_whose_lines_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(30)
    stacks = service(rng, 40)
    guilty = [one for one in stacks[3][0] if one.file.startswith(ROOT)][-1]
    roots: dict[str, Path | None] = {side: tmp_path / side for side in ("base", "head")}
    for side, root in roots.items():
        assert root is not None
        for frame in {frame for stack, _ in stacks for frame in stack if frame.file.startswith(ROOT)}:
            file = root / frame.file.removeprefix(f"{ROOT}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            body = "slow()" if side == "head" and frame.name == guilty.name else "pass"
            with file.open("a") as text:
                text.write(f"def {frame.name}():\n    {body}\n")
    kept, companions = Profiles(), []
    for number, pair in enumerate(Seeded(stacks, rng, 200.0, 3).blocks(), start=1):
        seen = {
            side: moved(profile, root)
            for (side, root), profile in zip(roots.items(), pair, strict=True)
            if root is not None
        }
        told = kept.add(number, SampledEndpoint("GET /x", seen, dict.fromkeys(roots, 1_500)), roots)
        companions.append({side: {PROFILED: {"GET /x": told[side]}} for side in roots})
    again = profiles_of(kept.table().to_pandas(), companions, range(1, 13))
    assert len(again) == 12
    lines = known_lines(companions)
    findings = function_findings(compare_functions(again), lines.get)
    assert findings[0].subject == guilty.name
    assert findings[0].evidence["lines_differ"] is True
    assert findings[0].evidence["file"] == guilty.file.removeprefix(f"{ROOT}/")
    assert [one.name for one, differs in lines.items() if differs] == [guilty.name]


def test_functions_stand_before_the_finding_that_says_no_more_than_cpu() -> None:
    cpu, query, function = (Finding(kind, kind, "", {}) for kind in ("cpu", "query", "function"))
    assert with_functions([cpu, query], [function]) == (function, cpu, query)
    assert with_functions([query], [function]) == (query, function)


def test_a_function_that_was_changed_stands_for_what_it_explains_and_one_that_was_not_for_no_statement() -> (
    None
):
    def finding(kind: str, endpoint: str, **evidence: object) -> Finding:
        return Finding(kind, kind, "", evidence, endpoints=(endpoint,))

    waits = finding("dependency", "POST /a")
    statement = finding("plan", "GET /b", statement="SELECT 1")
    changed = finding("function", "POST /a", lines_differ=True)
    carries = finding("function", "GET /b", lines_differ=False)
    assert with_functions([statement, waits], [changed, carries]) == (statement, changed)
    assert with_functions([waits], [carries]) == (carries, waits)


def test_a_duet_without_a_sampler_is_a_duet_all_the_same() -> None:
    profiling = Profiling()
    profiling.start({"base": [], "head": []}, seconds=1)
    assert profiling.stop() == {}
    assert "nobody knows" in str(profiling.trouble)
