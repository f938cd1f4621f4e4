"""The baseline: the git ref that the working tree is compared with, night after night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from adx_lab.errors import StoreError, UsageError
from adx_lab.files import write_whole
from adx_lab.records.documents import to_json
from adx_lab.services.sources import commit_of
from adx_lab.settings import Settings


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was set: the words, the commit that they named then, and when.

    The commit counts: a branch moves on, and a baseline that moves with it never shows what crept in.
    """

    ref: str
    commit: str
    set_at: str


def set_baseline(settings: Settings, ref: str) -> Baseline:
    """Make a git ref the baseline.

    Raises
    ------
    UsageError
        There is no such commit.
    """
    commit = commit_of(settings.source_dir, ref)
    if commit is None:
        raise UsageError(
            f"{ref} names no commit of {settings.source_dir}", mend="name a branch, a tag or a commit"
        )
    baseline = Baseline(ref, commit, datetime.now(UTC).isoformat(timespec="seconds"))
    write_whole(settings.data_dir / "baseline.json", to_json(baseline, indent=2) + "\n")
    return baseline


def read_baseline(settings: Settings) -> Baseline | None:
    """Return the baseline, or None where none was set.

    Raises
    ------
    StoreError
        Its file is damaged.
    """
    path = settings.data_dir / "baseline.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}", mend="adx-lab baseline set REF") from error
