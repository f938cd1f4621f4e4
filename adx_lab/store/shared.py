"""Runs in a team's store: put up once they are stored here, brought down when somebody opens them.

A run is made in its folder on this machine, and nothing of a measurement waits for a network. ``run.json`` is
put up last and removed first, so that whoever finds it finds a whole run.
"""

from __future__ import annotations

import errno
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from adx_lab.errors import AdxLabError, StoreError, UsageError
from adx_lab.records.documents import digest, to_json
from adx_lab.records.run import Kind, RunRecord
from adx_lab.secrecy import shown_url
from adx_lab.settings import Settings, shared_folder
from adx_lab.store.folders import (
    RECORD,
    StoredRun,
    delete_run_folder,
    is_run_id,
    named,
    new_run_folder,
    open_run,
    record_of,
    run_ids,
)

_OWED, _COPY = ".owed", ".copy"
"""Files of a run's folder here: it has to be put up still; it was brought down."""

_BASELINES = "baselines"
_AWAY_S = 60.0
_NIGHT, _STANDS = timedelta(days=2), timedelta(days=90)
_MEND = "what is stored here stays, and goes up later: adx-lab runs push"
_PATIENT = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "1h"}
_HASTY = {"connect_timeout": "1s", "read_timeout": "2s", "timeout": "2s"}


class AwayError(StoreError):
    """The team's store is away or refuses."""


class SharedRuns:
    """A team's runs, wherever ``store.runs_url`` points; a store that was away is asked again in a minute.

    Parameters
    ----------
    hasty
        Give up in a moment, as a check has to.

    Raises
    ------
    AwayError
        It can't be used; so does every call.
    """

    def __init__(self, url: str, *, hasty: bool = False) -> None:
        self.shown = shown_url(url)
        self._refused: tuple[float, AwayError] | None = None
        self._folder = shared_folder(url)
        with self._asking():
            if self._folder is not None:
                self._store: Any = LocalStore(self._folder, automatic_cleanup=True)
            else:
                # Without TLS only where an endpoint that somebody set says http://.
                options: Any = {"allow_http": True, **(_HASTY if hasty else _PATIENT)}
                retries: Any = {"max_retries": 0 if hasty else 3, "retry_timeout": timedelta(seconds=60)}
                self._store = from_url(url, client_options=options, retry_config=retries)

    def ids(self) -> list[str]:
        """Return the ids of all runs, oldest first, with those that are put up or removed just now."""
        with self._asking():
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        return sorted(name for name in found if is_run_id(name))

    def record(self, run_id: str) -> RunRecord | None:
        """Return a run's record; None where it is not whole."""
        with self._asking():
            try:
                text = bytes(obstore.get(self._store, f"{run_id}/{RECORD}").bytes())
            except FileNotFoundError:
                return None
        return record_of(text, run_id, f"{self.shown}/{run_id}/{RECORD}")

    def bring(self, run_id: str, runs_dir: Path) -> None:
        """Bring a run down, whole or not at all."""
        with self._asking():
            names = self._files(run_id, obstore.list(self._store, run_id).collect())
            if RECORD not in names:
                raise StoreError(f"run {run_id} is not whole in {self.shown}", mend="try again in a moment")
            try:
                with new_run_folder(runs_dir, run_id) as folder:
                    # The record last: while it is there, nobody has begun to remove the others.
                    for name in _record_last(names):
                        with (folder / name).open("wb") as file:
                            for piece in obstore.get(self._store, f"{run_id}/{name}"):
                                file.write(piece)
                    (folder / _COPY).touch()
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # somebody else brought it meanwhile
                    raise

    async def put(self, folder: Path) -> None:
        """Put up what is not there yet of a run; ``run.json`` last."""
        run_id = folder.name
        with self._asking():
            there = self._files(run_id, await obstore.list(self._store, run_id).collect_async())
            own = _sizes(folder)
            for name in _record_last(own):
                if name == RECORD or there.get(name) != own[name]:
                    await obstore.put_async(self._store, f"{run_id}/{name}", folder / name, max_concurrency=4)
                    self._give(run_id, name)
            if self._folder is not None:
                for left in (self._folder / run_id).glob(
                    "*#*"
                ):  # a killed writer's: a store hides such names
                    left.unlink(missing_ok=True)
        (folder / _OWED).unlink(missing_ok=True)

    def delete(self, run_id: str) -> None:
        """Remove a run; removing one that isn't there is no fault."""
        with self._asking():
            paths = [meta["path"] for meta in obstore.list(self._store, run_id).collect()]
            for chosen in ([f"{run_id}/{RECORD}"], paths):
                for path in set(chosen) & set(paths):
                    with suppress(FileNotFoundError):  # somebody else removes it just now
                        obstore.delete(self._store, path)
        if self._folder is not None:  # with what a killed writer left
            shutil.rmtree(self._folder / run_id, ignore_errors=True)

    def put_baselines(self, home: str, commits: Iterable[str]) -> None:
        """Let all homes know which commits' runs must stay for this one's sake."""
        with self._asking():
            obstore.put(self._store, f"{_BASELINES}/{home}.json", to_json(sorted(commits)).encode())
            self._give(_BASELINES, f"{home}.json")

    def baseline_commits(self) -> frozenset[str]:
        """Return the commits of the baselines of all homes that put something up lately."""
        commits: set[str] = set()
        with self._asking():
            for meta in obstore.list(self._store, _BASELINES).collect():
                if datetime.now(UTC) - meta["last_modified"] < _STANDS:
                    text = bytes(obstore.get(self._store, meta["path"]).bytes())
                    commits.update(msgspec.json.decode(text, type=list[str]))
        return frozenset(commits)

    def _files(self, run_id: str, listed: Sequence[Any]) -> dict[str, int]:
        """Return the sizes of a run's files by their names, which are no paths and hide nothing."""
        sizes = {meta["path"].removeprefix(f"{run_id}/"): meta["size"] for meta in listed}
        return {name: size for name, size in sizes.items() if "/" not in name and not name.startswith(".")}

    def _give(self, place: str, name: str) -> None:
        """Let a share's group read what is put there, if its folder does; a bucket has its own policy."""
        if self._folder is not None:
            rights = stat.S_IMODE(self._folder.stat().st_mode)
            with suppress(OSError):  # a share whose rights nobody can set
                (self._folder / place).chmod(rights & 0o2770)
                (self._folder / place / name).chmod(rights & 0o640)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if self._refused is not None and time.monotonic() - self._refused[0] < _AWAY_S:
            raise self._refused[1]
        try:
            if self._folder is not None:  # one that is not mounted must not become a folder on this disk
                self._folder.stat()
            yield
        except (BaseError, OSError, ValueError, msgspec.MsgspecError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            refused = AwayError(f"the runs' store {self.shown} can't be used: {reason}", mend=_MEND)
            if isinstance(error, BaseError) and self._folder is None:  # each call would wait as long
                self._refused = (time.monotonic(), refused)
            raise refused from error


def shared_runs(settings: Settings) -> SharedRuns | None:
    """Return the team's runs; None where they have no URL."""
    return None if settings.store.runs_url is None else _opened(settings.store.runs_url)


def require_shared(settings: Settings) -> SharedRuns:
    """Return the team's runs.

    Raises
    ------
    UsageError
        They have no URL.
    """
    shared = shared_runs(settings)
    if shared is None:
        raise UsageError("no team's store is named", mend="set store.runs_url, or ADX_LAB_STORE_RUNS_URL")
    return shared


@lru_cache(maxsize=8)
def _opened(url: str) -> SharedRuns:
    return SharedRuns(url)


def home_name(settings: Settings) -> str:
    """Return what tells a home from the team's others, and nobody who it is."""
    return digest([socket.gethostname(), str(settings.data_dir)])[:16]


def owe(settings: Settings, folder: Path) -> None:
    """Note in a run's folder that it has to be put up, or that there is more of it."""
    if settings.store.runs_url is not None:
        (folder / _OWED).touch(mode=0o600)


def owed(settings: Settings) -> list[str]:
    """Return the runs that have to be put up, oldest first."""
    if settings.store.runs_url is None:
        return []
    return [run_id for run_id in run_ids(settings.runs_dir) if (settings.runs_dir / run_id / _OWED).exists()]


def is_copy(folder: Path) -> bool:
    """Tell whether a run's folder was brought down: then it is another home's run."""
    return (folder / _COPY).exists()


def find_run(settings: Settings, run_id: str, *kinds: Kind) -> StoredRun:
    """Open a stored run as `open_run` does; one that is only in the team's store is brought down first.

    A whole id of a run that is here asks nobody else. ``latest`` is the team's latest.

    Raises
    ------
    UsageError, StoreError
        As `open_run` does.
    AwayError
        The team's store can't be used, where the run may be in it.
    """
    local = set(run_ids(settings.runs_dir))
    shared = None if run_id in local else shared_runs(settings)
    if shared is None:
        return open_run(settings.runs_dir, run_id, *kinds)
    elsewhere = [other for other in shared.ids() if other not in local]
    if run_id == "latest":
        return _latest(settings, shared, elsewhere, kinds)
    where = f"{settings.runs_dir} or {shared.shown}"
    name = named(sorted({*local, *elsewhere}), run_id, where)
    if name not in local:
        shared.bring(name, settings.runs_dir)
    return open_run(settings.runs_dir, name, *kinds)


def _latest(
    settings: Settings, shared: SharedRuns, elsewhere: Sequence[str], kinds: tuple[Kind, ...]
) -> StoredRun:
    here: StoredRun | AdxLabError
    try:
        here = open_run(settings.runs_dir, "latest", *kinds)
    except (UsageError, StoreError) as error:
        here = error
    for run_id in reversed(elsewhere):
        if isinstance(here, StoredRun) and run_id < here.record.run_id:
            break
        try:
            record = shared.record(run_id)
        except AwayError:
            raise
        except StoreError:  # damaged: it stands in nobody's way
            continue
        if record is not None and (not kinds or record.kind in kinds):
            shared.bring(run_id, settings.runs_dir)
            return open_run(settings.runs_dir, run_id)
    if isinstance(here, AdxLabError):
        raise here
    return here


def bring_night(settings: Settings, run: StoredRun) -> None:
    """Bring down what was made for another home's night, beside its loaded run.

    Raises
    ------
    AwayError
        The team's store can't be used: the night's page would lack its comparison.
    """
    shared = shared_runs(settings) if is_copy(run.folder) else None
    if shared is None:
        return
    local, own = set(run_ids(settings.runs_dir)), run.record
    until = f"{datetime.fromisoformat(own.started_at) + _NIGHT:%Y%m%d}"
    for run_id in shared.ids():
        if run_id in local or not own.run_id < run_id < until:
            continue
        record = shared.record(run_id)
        if record is not None and record.night == own.run_id:
            shared.bring(run_id, settings.runs_dir)


def remove_run(settings: Settings, run_id: str, *, everywhere: bool) -> None:
    """Remove a run: in the team's store first, where it is this home's own or ``everywhere`` is meant."""
    shared = shared_runs(settings)
    if shared is not None and (everywhere or not is_copy(settings.runs_dir / run_id)):
        shared.delete(run_id)
    delete_run_folder(settings.runs_dir, run_id)


def _sizes(folder: Path) -> dict[str, int]:
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return {file.name: file.stat().st_size for file in files}


def _record_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name == RECORD, name))
