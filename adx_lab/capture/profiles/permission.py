"""Whether this machine lets one process look into another."""

from __future__ import annotations

import os
from pathlib import Path

_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_CAP_SYS_PTRACE = 19


def why_not(scope_file: Path = _SCOPE, status_file: Path = Path("/proc/self/status")) -> str | None:
    """Return why processes can't be sampled here and how to mend it, in one line; None where they can.

    A kernel with Yama lets only ancestors look into a process (scope 1), only administrators (2), or nobody
    (3). Ours are siblings of what they sample.
    """
    try:
        scope = int(scope_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    if scope == 0:
        return None
    if scope == 3:
        return "functions can't be sampled: this kernel lets nobody look into a process until it is restarted"
    if _may_trace(status_file):
        return None
    return (
        f"functions can't be sampled: ptrace_scope is {scope}; "
        "sudo sysctl kernel.yama.ptrace_scope=0 lets them, or a container with --cap-add SYS_PTRACE"
    )


def _may_trace(status_file: Path) -> bool:
    try:
        lines = status_file.read_text(encoding="ascii").splitlines()
    except OSError:
        return os.geteuid() == 0
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_PTRACE & 1)
