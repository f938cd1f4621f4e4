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
    if not tree.path.is_relative_to(trees_folder(settings)):  # somebody's own tree is left alone
        tree = copied(tree, trees_folder(settings), start)
    log = settings.stack_dir / "logs" / "build.log"
    try:
        if start.build and not _is_made_by(start.build, tree.path / _BUILT):
            await _build(tree, settings, progress, log)
        if start.compile and not _is_made_by(start.compile, tree.path / _COMPILED):
            progress.step(f"compiling {tree.path.name}")
            await run_to_end(_order(tree.path, settings), "compile", start.compile, log=log, seconds=_BUILD_S)
            (tree.path / _COMPILED).write_text(start.compile, encoding="utf-8")
    except BaseException:
        # Half of a build may stand in it: whoever needs the tree again has it exported anew.
        shutil.rmtree(tree.path, ignore_errors=True)
        raise
    return tree


def _is_made_by(command: str, mark: Path) -> bool:
    """Tell whether what a command makes is there, and was made by this very command."""
    return mark.exists() and mark.read_text(encoding="utf-8") == command


async def _build(tree: SourceTree, settings: Settings, progress: Progress, log: Path) -> None:
    start, lock = settings.service.start, locked(tree)
    if not lock:  # nobody knows what the build depends on: it is the tree's own
        progress.step(f"building {tree.path.name}")
        await run_to_end(_order(tree.path, settings), "build", start.build, log=log, seconds=_BUILD_S)
        (tree.path / _BUILT).write_text(start.build, encoding="utf-8")
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
        place = tree.path / name
        if place.is_symlink():  # what another command made
            place.unlink()
        if not place.exists():
            place.symlink_to(home / name)
    (tree.path / _BUILT).write_text(start.build, encoding="utf-8")


def _order(source: Path, settings: Settings) -> StartOrder:
    return StartOrder("build", settings.service, source, settings.stack_dir)


def _prune(folder: Path) -> None:
    builds = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
