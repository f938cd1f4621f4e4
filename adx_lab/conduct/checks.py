"""What has to be well before a night measures: looked at in a moment, told in a line each.

`adx-lab doctor` shows the same list. What stops a night here would otherwise stop it after half an hour.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies

from adx_lab.conduct.baseline import read_baseline
from adx_lab.conduct.sharing import tell_baselines
from adx_lab.errors import AdxLabError, StoreError, UsageError
from adx_lab.progress import Progress
from adx_lab.services.doctor import Check, examine
from adx_lab.services.git import refused
from adx_lab.services.sources import commit_of
from adx_lab.services.stack_state import holder_pid
from adx_lab.settings import Settings
from adx_lab.settings.budgets import read_budgets
from adx_lab.store.rows import RunStore
from adx_lab.store.shared import SharedRuns

_SHM = Path("/dev/shm")  # noqa: S108  # shared memory is nowhere else
_SHM_MB = 16
_STOPS = frozenset(
    {"data folder", "budgets", "baseline", "shared memory", "disk", "service's port", "run store"}
)
"""What a night can't be made without; of anything else, and of what is not needed, it warns, and measures."""

_NIGHT_DISK_MB = 300


def all_checks(settings: Settings) -> tuple[Check, ...]:
    """Return every check, in the order in which a person would mend them."""
    return (*examine(settings), *_of_the_night(settings))


def before_a_night(settings: Settings, progress: Progress, *, attached: bool) -> None:
    """Tell what is not well, and refuse to measure what could not be kept or judged.

    Parameters
    ----------
    attached
        The service is somebody else's: nothing is started and nothing is built.

    Raises
    ------
    UsageError
        Something has to be mended first.
    """
    up = attached or holder_pid(settings) is not None
    bad = [check for check in all_checks(settings) if not check.ok and not _is_none_of_it(check, up=up)]
    stops = [check for check in bad if check.name in _STOPS and check.needed and not _enough(settings, check)]
    for check in bad:
        progress.step(f"{check.name}: {check.found}; {check.mend}")
    if stops:
        first = stops[0]
        raise UsageError(f"the night can't begin: {first.name}: {first.found}", mend=first.mend)


def _is_none_of_it(check: Check, *, up: bool) -> bool:
    """Tell whether a check says nothing of a night: a browser, and where all is up what it takes to start."""
    starting = {"service's port", "shared memory", "server account"}
    return check.name == "browser" or (up and check.name in starting)


def _enough(settings: Settings, check: Check) -> bool:
    # The doctor wants room for many nights; one needs less.
    if check.name != "disk":
        return False
    place = settings.data_dir if settings.data_dir.exists() else settings.home_dir
    return shutil.disk_usage(place).free // 2**20 >= _NIGHT_DISK_MB


def _of_the_night(settings: Settings) -> Iterator[Check]:
    yield _store(settings)
    yield from _shared(settings)
    yield _budgets(settings)
    yield _git(settings)
    yield _baseline(settings)
    yield _shared_memory()
    yield _proxies()


def _store(settings: Settings) -> Check:
    mend = "adx-lab runs rebuild makes it anew from the folders"
    try:
        store = RunStore(settings)
        try:
            store.require()
        finally:
            store.close()
    except AdxLabError as error:
        wrong_use = isinstance(error, UsageError)  # of a newer lab, or no address; else the journal does
        return Check("run store", False, error.message, error.mend or mend, needed=wrong_use)
    return Check("run store", True, "answers")


def _shared(settings: Settings) -> Iterator[Check]:
    url = settings.store.runs_url
    if url is None:
        return
    try:
        shared = SharedRuns(url, hasty=True)
        tell_baselines(settings, shared)
    except StoreError as error:
        yield Check("team's store", False, error.message, error.mend or "", needed=False)
    else:
        yield Check("team's store", True, f"{shared.shown} takes what is stored")


def _budgets(settings: Settings) -> Check:
    own = settings.load.locustfile
    scenario = Path(own).stem if own else "mixed"
    try:
        found = read_budgets(settings.budgets_file, scenario)
    except AdxLabError as error:
        return Check("budgets", False, error.message, error.mend or "correct the file")
    return Check("budgets", True, f"{len(found)} for {scenario}")


def _git(settings: Settings) -> Check:
    why = refused(settings.source_dir)
    mend = "runs carry no commit, and nothing can be compared with an earlier one"
    if why is not None and "dubious ownership" in why:
        mend = f"git config --global --add safe.directory {settings.source_dir}"
    return Check("git", why is None, why or str(settings.source_dir), mend, needed=False)


def _baseline(settings: Settings) -> Check:
    mend = "adx-lab baseline set REF"
    try:
        baseline = read_baseline(settings)
    except AdxLabError as error:
        return Check("baseline", False, error.message, mend)
    if baseline is None:
        return Check("baseline", True, "none yet")
    if commit_of(settings.source_dir, baseline.commit) is None:
        found = f"its commit {baseline.commit[:10]} is not in {settings.source_dir}"
        return Check("baseline", False, found, f"fetch it (a shallow clone holds few), or {mend}")
    return Check("baseline", True, f"{baseline.ref} ({baseline.commit[:10]})")


def _shared_memory() -> Check:
    mend = f"give {_SHM} {_SHM_MB} MB (docker run --shm-size 256m), which PostgreSQL needs"
    try:
        free_mb = shutil.disk_usage(_SHM).free // 2**20
    except OSError as error:
        return Check("shared memory", False, f"{_SHM}: {error.strerror}", mend)
    usable = os.access(_SHM, os.W_OK | os.X_OK) and free_mb >= _SHM_MB
    return Check("shared memory", usable, f"{free_mb:,} MB free in {_SHM}", mend)


def _proxies() -> Check:
    found = sorted(kind for kind in getproxies() if kind in {"http", "https", "all"})
    names = ", ".join(f"{kind}_proxy" for kind in found)
    mend = "a service on another machine is asked through it: unset it, or name the machine in no_proxy"
    return Check("proxies", not found, names or "none", mend, needed=False)
