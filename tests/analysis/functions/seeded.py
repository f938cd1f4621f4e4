"""Profiles of a service of which the truth is known, sampled as a real one is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from adx_lab.analysis.functions.stacks import Frame, Stack, StackProfile

ROOT = "/srv/app"


def service(rng: np.random.Generator, functions: int) -> list[tuple[Stack, float]]:
    """Stacks through so many functions, with what each costs a request in microseconds."""
    names = [(f"handle_{i}", f"{ROOT}/shop/part_{i % 9}.py") for i in range(functions)]
    stacks: list[tuple[Stack, float]] = []
    for i, (name, file) in enumerate(names):
        callers = [names[int(j)] for j in rng.integers(0, functions, int(rng.integers(1, 5))) if int(j) != i]
        frames = [Frame(*caller, line=5) for caller in callers] + [Frame(name, file, 10 + i)]
        cost = float(rng.lognormal(1.5, 1.2))
        stacks.append((tuple(frames), cost))
        if rng.random() < 0.4:
            library = Frame("dumps", "/usr/lib/python3/json/encoder.py", 200)
            stacks.append(((*frames, library), cost / 2))
    return stacks


@dataclass
class Seeded:
    """Two variants, of which head may compute more in one function.

    Attributes
    ----------
    added_us
        Microseconds a request more, in `guilty`.
    jitter
        How much every function's cost varies between blocks by itself.
    """

    stacks: list[tuple[Stack, float]]
    rng: np.random.Generator
    added_us: float = 0.0
    guilty: int = 0
    requests: int = 1_500
    rate_per_s: int = 400
    jitter: float = 0.05
    machine: float = field(default=0.1)

    def blocks(self, count: int = 12) -> list[tuple[StackProfile, StackProfile]]:
        return [self._block() for _ in range(count)]

    def _block(self) -> tuple[StackProfile, StackProfile]:
        pace = self.rng.lognormal(0, self.machine)
        return self._profile(0.0, pace), self._profile(self.added_us, pace)

    def _profile(self, added_us: float, pace: float) -> StackProfile:
        costs = np.array([cost for _, cost in self.stacks]) * self.rng.lognormal(
            0, self.jitter, len(self.stacks)
        )
        costs[self.guilty] += added_us
        costs *= pace * self.rng.lognormal(0, 0.02)
        seen = self.rng.poisson(costs * self.requests * self.rate_per_s / 1e6)
        stacks = {stack: int(count) for (stack, _), count in zip(self.stacks, seen, strict=True) if count}
        return StackProfile(stacks, float(costs.sum() * self.requests), self.requests, ROOT)
