"""Numbers and addresses that make no sense are refused before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from adx_lab.errors import UsageError

_MOST = {
    "--rate": 1_000_000,
    "--duration": 604_800,
    "--seconds": 86_400,
    "--warmup": 86_400,
    "--limit": 604_800,
    "--users": 10_000_000,
    "--workers": 256,
    "--expect-workers": 10_000,
}
"""More than any machine can bear, or anybody waits for: a slip of the finger."""

_SEED_MAX = 2**32 - 1


def check_positive(given: Mapping[str, float | None], *, least: float | None = None) -> None:
    """Refuse what is not a positive number within reason; what was left out is fine.

    Parameters
    ----------
    given
        The values by flag.
    least
        A number from which on values are allowed, in place of those above 0.

    Raises
    ------
    UsageError
        One of them can't be meant.
    """
    for flag, value in given.items():
        if value is None:
            continue
        most = _MOST.get(flag, float("inf"))
        if not (value > 0 if least is None else value >= least) or value == float("inf"):
            said = "not a positive number" if least is None else f"not a number of at least {least:g}"
            mend = "give one above 0" if least is None else f"give {least:g} or more"
            raise UsageError(f"{flag} {value:g} is {said}", mend=mend)
        if value > most:
            raise UsageError(f"{flag} {value:g} is beyond all measure", mend=f"give at most {most:,}")


def check_seed(seed: int | None) -> None:
    """Refuse a seed that no generator takes."""
    if seed is not None and not 0 <= seed <= _SEED_MAX:
        raise UsageError(f"--seed {seed} is no seed", mend=f"give one from 0 to {_SEED_MAX}")


def check_url(flag: str, url: str | None) -> None:
    """Refuse what is no address of HTTP."""
    if not url:
        if url is None:
            return
        raise UsageError(f"{flag} is empty", mend="give an address, or leave it out")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{flag} {url} is no address of HTTP", mend="write it as http://HOST:PORT/…")
