"""A duet of which the truth is known: every table that a real one has, with the noise that was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from adx_lab.analysis.stats.sequential_design import SequentialDesign
from adx_lab.conduct.duet.judge import DuetEvidence
from adx_lab.conduct.duet.order import SMALLEST

# By endpoint: milliseconds, deviation between blocks, deviation within a pair, pairs a block, weight in the
# mix, statements and Valkey commands a request, bytes.
ENDPOINTS: dict[str, tuple[float, float, float, int, float, int, int, int]] = {
    "GET /health": (0.16, 0.015, 0.25, 100, 4, 0, 0, 15),
    "GET /auth/me": (0.2, 0.02, 0.2, 90, 28, 0, 0, 477),
    "POST /auth/login": (11.0, 0.015, 0.08, 7, 0.6, 2, 3, 451),
    "GET /tenants/current": (0.17, 0.015, 0.25, 100, 4, 0, 0, 191),
    "GET /users/{id}": (0.3, 0.015, 0.2, 60, 32, 1, 1, 278),
    "GET /users": (0.6, 0.015, 0.2, 50, 18, 1, 0, 14164),
    "PATCH /users/{id}": (1.5, 0.03, 0.25, 24, 1, 3, 10, 279),
    "POST /users": (10.6, 0.015, 0.08, 7, 0.6, 1, 6, 296),
    "GET /files": (0.6, 0.015, 0.2, 40, 4, 1, 0, 17214),
    "GET /files/{id}": (0.43, 0.015, 0.2, 50, 4, 1, 0, 337),
    "GET /files/{id}/content": (3.8, 0.02, 0.2, 19, 2, 1, 0, 339653),
    "POST /files": (1.6, 0.03, 0.2, 24, 1, 1, 0, 348),
    "POST /workflows/{name}/runs": (0.9, 0.03, 0.2, 24, 0.5, 1, 0, 120),
    "GET /workflows/runs/{id}": (0.43, 0.02, 0.2, 50, 1, 1, 0, 352),
}
NAMES = list(ENDPOINTS)


def known_duet(
    rng: np.random.Generator,
    *,
    blocks: int = 10,
    noise: float = 1.0,
    slower: dict[str, float] | None = None,
) -> DuetEvidence:
    """Return a duet of equals, or of a head that takes so many times as long at some endpoints.

    Parameters
    ----------
    rng
        Decides everything.
    blocks
        How many.
    noise
        Times what was measured on a quiet machine, between blocks.
    slower
        Factors by endpoint.
    """
    frames = []
    counts = []
    for block in range(1, blocks + 1):
        for name, (ms, between, within, pairs, _, statements, commands, size) in ENDPOINTS.items():
            shift = noise * between * rng.normal() + np.log((slower or {}).get(name, 1.0))
            frames += [
                _pairs(rng, block, name, "serial", pairs, (ms, shift, within, size)),
                _pairs(rng, block, name, "cold", 2, (5 * ms, shift, 0.2, size)),
                _pairs(rng, block, name, "burst", 8, (8 * ms + 4, shift, 0.35, size)),
            ]
            for variant in ("base", "head"):
                spent = ms * pairs * np.exp(0.03 * rng.normal())
                counts.append(
                    {
                        "block": block, "variant": variant, "endpoint": name, "requests": pairs,
                        "cpu_ms": 0.6 * spent, "database_cpu_ms": 0.2 * spent * (statements > 0),
                        "rss_mb": abs(0.3 * rng.normal()), "statements": float(statements * pairs),
                        "pages": 9.0 * statements * pairs, "rows": float(statements * pairs),
                        "valkey_commands": float(commands * pairs),
                    }
                )  # fmt: skip
        frames += _loop(rng, block, noise)
    samples = pd.concat(frames, ignore_index=True)
    audits = tuple(
        {
            "block": block, "unanswered": 0, "loop_lag_p99_ms": 2.0, "cpu_share_max": 0.4, "steal_share": 0.0,
            "foreign_cpu_share": 0.05,
        }
        for block in range(1, blocks + 1)
    )  # fmt: skip
    companions = tuple({side: _companions(rng) for side in ("base", "head")} for _ in range(blocks))
    return DuetEvidence(
        run_id="known",
        samples=samples,
        queries=pd.DataFrame({"sample": np.zeros(0, np.int64), "query": np.zeros(0, str), "ms": np.zeros(0)}),
        blocks=audits,
        companions=companions,
        variants={side: {"identity": side, "commit": side, "resolved": {}} for side in ("base", "head")},
        design=SequentialDesign(looks=(blocks,), smallest=SMALLEST),
        counts=pd.DataFrame(counts),
    )


def _loop(rng: np.random.Generator, block: int, noise: float) -> list[pd.DataFrame]:
    weights = np.array([told[4] for told in ENDPOINTS.values()])
    drawn = np.bincount(rng.choice(len(NAMES), 150, p=weights / weights.sum()), minlength=len(NAMES))
    frames = []
    for name, pairs in zip(NAMES, drawn, strict=True):
        ms, between, within, _, _, _, _, size = ENDPOINTS[name]
        shift = 2 * noise * between * rng.normal()
        frames.append(_pairs(rng, block, name, "open", int(pairs), (ms + 0.8, shift, 1.5 * within, size)))
    return frames


def _pairs(
    rng: np.random.Generator,
    block: int,
    name: str,
    movement: str,
    pairs: int,
    told: tuple[float, float, float, int],
) -> pd.DataFrame:
    """Return the requests of some pairs: what both halves share, what each has alone, and stalls."""
    ms, shift, within, size = told
    common = np.log(ms) + 0.15 * rng.normal(size=pairs)
    own = within / np.sqrt(2) * rng.standard_t(6, size=(2, pairs)) / np.sqrt(1.5)
    stalls = np.where(rng.random((2, pairs)) < 0.002, rng.exponential(2.0, (2, pairs)), 0.0)
    times = np.exp(common + own) * np.exp(np.array([[0.0], [shift]])) + stalls
    turned = (np.arange(pairs) + block) % 2 == 1
    sent = np.arange(pairs) + np.where(np.stack([turned, ~turned]), 0.5, 0.0)
    return pd.DataFrame(
        {
            "t_intended_s": 100.0 * block + sent.ravel(), "t_sent_s": 100.0 * block + sent.ravel(),
            "latency_ms": times.ravel(), "service_ms": times.ravel(), "server_ms": 0.8 * times.ravel(),
            "endpoint": name, "group": "g", "tenant": "median", "status": np.int16(200), "bytes": size,
            "variant": np.repeat(["base", "head"], pairs), "pair": np.tile(np.arange(pairs), 2),
            "db_ms": 0.0, "db_queries": 0, "valkey_ms": 0.0, "pool_ms": 0.0, "cache": "none",
            "error": None, "worker": 0, "block": block, "movement": movement,
        }
    )  # fmt: skip


def _companions(rng: np.random.Generator) -> dict[str, object]:
    return {
        "cpu_s": 0.1 * np.exp(0.02 * rng.normal()), "rss_mb": [100.0, 104.0 + rng.normal()],
        "cache": {"l1": 75.0, "l2": 45.0, "miss": 30.0}, "invalidations": 3.0, "lag": {}, "pool_max": 100.0,
        "valkey_commands": 150, "statements": {}, "requests": 150,
    }  # fmt: skip
