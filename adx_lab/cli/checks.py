"""Numbers and addresses that make no sense are refused before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from adx_lab.errors import UsageError
from adx_lab.secrecy import shown_url

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

_DATABASE = re.compile(r"\s*(?:postgres(?:ql)?(?:\+\w+)?://|\w+\s*=|\$)", re.IGNORECASE)
_VALKEY = re.compile(r"\s*(?:(?:valkey|redis)s?|unix)://|\s*\$", re.IGNORECASE)

_COUNTED = frozenset(
    {
        *("--users", "--workers", "--expect-workers", "--blocks", "--seed", "--duets"),
        *("--port", "--keep", "--tree", "--resample", "--grow"),
    }
)
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*")

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


def check_whole(words: Sequence[str]) -> None:
    """Refuse a fraction of a user or of a block, which would be rounded.

    Raises
    ------
    UsageError
        Something that is counted is no whole number.
    """
    for word, following in zip(words, (*words[1:], ""), strict=True):
        flag, _, value = word.partition("=")
        value = value or following
        if flag in _COUNTED and _FRACTION.fullmatch(value):
            raise UsageError(f"{flag} {value} is not a whole number", mend="give one without a fraction")


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


def check_database(url: str | None) -> None:
    """Refuse what is no address of a PostgreSQL; libpq's own words (``host=… dbname=…``) are one.

    Raises
    ------
    UsageError
        It can't be meant.
    """
    _check_address("--database", url, _DATABASE, "PostgreSQL", "postgresql://USER@HOST:PORT/NAME")


def check_valkey(url: str | None) -> None:
    """Refuse what is no address of a Valkey.

    Raises
    ------
    UsageError
        It can't be meant.
    """
    _check_address("--valkey", url, _VALKEY, "Valkey", "valkey://HOST:PORT/0")


def _check_address(flag: str, url: str | None, form: re.Pattern[str], what: str, like: str) -> None:
    if url and not form.match(url):
        raise UsageError(f"{flag} {shown_url(url)} is no address of {what}", mend=f"write it as {like}")


def check_variant(text: str) -> None:
    """Refuse a variant that is a URL, and none that can be asked.

    Raises
    ------
    UsageError
        It can't be meant.
    """
    if not re.match(r"https?://", text):
        return
    try:
        urlsplit(text).port  # noqa: B018  # it is read to be checked
    except ValueError as error:
        raise UsageError(f"{text} is not a URL: {error}", mend="write it as http://HOST:PORT") from error
    if not urlsplit(text).hostname:
        raise UsageError(f"{text} is not a URL", mend="write it as http://HOST:PORT")


def check_writable(flag: str, file: Path | None) -> None:
    """Refuse a file for which there is no folder, before anything is measured for it.

    Raises
    ------
    UsageError
        Nothing can be written there.
    """
    if file is None:
        return
    folder = file.resolve().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{flag} {file} can't be written", mend="name a file in a folder that is there")
