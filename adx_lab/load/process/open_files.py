"""Open files: each connection is one, and a process that runs out of them sends nothing."""

from __future__ import annotations

import resource

from adx_lab.errors import UsageError

_OWN = 300
"""What a Locust process has open besides its connections."""


def allow_connections(connections: int) -> int:
    """Raise this process's limit of open files so far that it can hold so many connections.

    Returns
    -------
    int
        The limit.

    Raises
    ------
    UsageError
        The system's hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OWN
    if soft >= needed:
        return soft
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{connections:,} connections need {needed:,} open files, the hard limit is {hard:,}",
            mend=f"raise it (ulimit -Hn {needed}) or spread the load with --workers",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
