"""The baseline of a service in an environment: the git ref that its working tree is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adx_lab.errors import StoreError, UsageError
from adx_lab.files import write_whole
from adx_lab.records.documents import digest, to_json
from adx_lab.services.sources import commit_of
from adx_lab.settings import REFERENCE, Settings

_FIRST, _FOLDER = "baseline.json", "baselines"


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
    write_whole(baseline_file(settings), to_json(baseline, indent=2) + "\n")
    return baseline


def read_baseline(settings: Settings) -> Baseline | None:
    """Return the baseline of the service in its environment, or None where none was set.

    Raises
    ------
    StoreError
        Its file is damaged.
    """
    return _read(baseline_file(settings))


def _read(path: Path) -> Baseline | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}", mend="adx-lab baseline set REF") from error


def baseline_commits(settings: Settings) -> frozenset[str]:
    """Return the commits of all baselines of the data folder, whatever service they are of.

    Raises
    ------
    StoreError
        A file is damaged.
    """
    files = [settings.data_dir / _FIRST, *(settings.data_dir / _FOLDER).glob("*.json")]
    found = (_read(file) for file in files)
    return frozenset(baseline.commit for baseline in found if baseline is not None)


def baseline_file(settings: Settings) -> Path:
    """Return where a baseline is kept: one for each service and environment of a data folder.

    That of the reference core on this machine is older than the others, and has kept its name.
    """
    if settings.key == (REFERENCE, "local"):
        return settings.data_dir / _FIRST
    # Digested as well: two services of different names must not meet under one that a file can have.
    name = re.sub(r"[^\w.-]+", "-", "-".join(settings.key))
    return settings.data_dir / _FOLDER / f"{name}-{digest(list(settings.key))[:8]}.json"
