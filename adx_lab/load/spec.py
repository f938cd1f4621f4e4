"""What the lab tells the Locust processes, in one file that ``ADX_LAB_LOAD_SPEC`` names."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adx_lab.errors import UsageError

VARIABLE = "ADX_LAB_LOAD_SPEC"


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One load: how fast, how long, on whose behalf, and where the record goes."""

    raw_dir: str
    scenario: str
    rate_per_s: float
    duration_s: float
    warmup_s: float
    seed: int
    workers: int = 1
    users: int = 1
    timeout_s: float = 30.0
    sample_file: str | None = None
    variant: str = "head"


def write_spec(spec: LoadSpec, path: Path) -> None:
    """Save a spec for the Locust processes, and make the folder that they record into."""
    Path(spec.raw_dir).mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(spec))


def read_spec() -> LoadSpec | None:
    """Return the spec of the load that this process is a part of, or None outside the lab."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=LoadSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"the load's spec {path} can't be read: {error}") from error
