"""A tree made ready to run: its dependencies once for each content of its lock files, itself once."""

from __future__ import annotations

import shutil
from pathlib import Path

from adx_lab.progress import Progress
from adx_lab.records.documents import digest
from adx_lab.services.sources import SourceTree, copied, locked, trees_folder
from adx_lab.services.starting.start import StartOrder, run_to_end
from adx_lab.settings import Settings

_KEPT = 4
_BUILT, _COMPILED = ".adx-built", ".adx-compiled"
_BUILD_S = 1800.0


async def built(tree: SourceTree, settings: Settings, progress: Progress) -> SourceTree:
    """Return the tree ready to run; where nothing is to be built it is the tree itself.

    The folders that ``build`` made in the first tree with the same lock files are linked into the others, so
    that paths that were written into them stay true.

    Raises
    ------
    StackError, UsageError
        A command failed; the message quotes its log. Nothing half made is used later.
    """
    start = settings.service.start
    if not (start.build or start.compile):
        return tree
    if not (tree.path / ".complete").exists():
        tree = copied(tree, trees_folder(settings), start)
    log = settings.stack_dir / "logs" / "build.log"
    if start.build and not (tree.path / _BUILT).exists():
        await _build(tree, settings, progress, log)
    if start.compile and not (tree.path / _COMPILED).exists():
        progress.step(f"compiling {tree.path.name}")
        await run_to_end(_order(tree.path, settings), "compile", start.compile, log=log, seconds=_BUILD_S)
        (tree.path / _COMPILED).touch()
    return tree


async def _build(tree: SourceTree, settings: Settings, progress: Progress, log: Path) -> None:
    start, lock = settings.service.start, locked(tree)
    if not lock:  # nobody knows what the build depends on: it is the tree's own
        progress.step(f"building {tree.path.name}")
        await run_to_end(_order(tree.path, settings), "build", start.build, log=log, seconds=_BUILD_S)
        (tree.path / _BUILT).touch()
        return
    home = settings.stack_dir / "builds" / digest([start.build, lock])
    if not (home / _BUILT).exists():
        progress.step("building, once for this lock file")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(tree.path, home, symlinks=True)
        before = {path.name for path in home.iterdir()}
        await run_to_end(_order(home, settings), "build", start.build, log=log, seconds=_BUILD_S)
        made = sorted({path.name for path in home.iterdir()} - before)
        (home / _BUILT).write_text("\n".join(made), encoding="utf-8")
        _prune(home.parent)
    for name in (home / _BUILT).read_text(encoding="utf-8").splitlines():
        if not (tree.path / name).exists():
            (tree.path / name).symlink_to(home / name)
    (tree.path / _BUILT).touch()


def _order(source: Path, settings: Settings) -> StartOrder:
    return StartOrder("build", settings.service, source, settings.stack_dir)


def _prune(folder: Path) -> None:
    builds = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
