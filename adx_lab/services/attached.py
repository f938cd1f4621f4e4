"""A service that is up already: whose processes are its own, and its database's URL as it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psutil

from adx_lab.settings import ServiceSettings

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", ""})  # noqa: S104  # what a URL may say of this machine
_POSTGRES_PORT = 5432
_KNOWN = frozenset(
    {
        "host", "port", "dbname", "user", "password", "passfile", "sslmode", "ssl", "sslcert", "sslkey",
        "sslrootcert", "sslpassword", "sslcrl", "service", "options", "application_name",
        "target_session_attrs",
    }
)  # fmt: skip
"""What PostgreSQL's own library has words for; frameworks add others (`schema`, `pgbouncer`, `pool`)."""


def postgres_url(url: str) -> str:
    """Return a database URL as PostgreSQL reads it: no ``+driver``, no words of a framework's own."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    words = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in words if name in _KNOWN]
    schema = next((value for name, value in words if name in {"schema", "currentSchema"}), None)
    if schema:
        kept.append(("options", f"-csearch_path={schema}"))
    made = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(kept)))
    if scheme not in {"postgres", "postgresql", "jdbc:postgresql", "asyncpg", "psycopg", "psycopg2"}:
        return url
    # A URL without a host (a Unix socket's) loses its slashes on the way.
    return made if "://" in made else made.replace(":", "://", 1)


def processes_of(service: ServiceSettings, url: str, database_url: str | None) -> dict[str, list[int]]:
    """Return the ids of a service's own processes and of its database's, by role, on this machine.

    Without ``processes`` it is whoever listens on the port of its URL. What runs elsewhere has none here.
    """
    found = {}
    own = list(dict.fromkeys(pid for words in service.processes for pid in _named(words)))
    own = own or _listeners(url, 443 if url.startswith("https") else 80)
    if own:
        found["service"] = own
    servers = _listeners(database_url, _POSTGRES_PORT) if database_url else []
    if servers:
        found["postgres"] = servers
    return found


def _named(words: str) -> Iterator[int]:
    """Yield the processes that a command's words, a pid file or a cgroup name."""
    if words.startswith("/sys/fs/cgroup/"):
        for file in Path(words).rglob("cgroup.procs"):
            yield from (int(line) for line in file.read_text(encoding="ascii").split())
        return
    if words.startswith(("/", "./")) and Path(words).is_file():
        first = re.match(r"\s*(\d+)", Path(words).read_text(encoding="utf-8", errors="replace"))
        if first:
            yield int(first[1])
            return
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if words in line and process.pid not in own:
            yield process.pid


def _listeners(url: str, usual: int) -> list[int]:
    parts = urlsplit(url)
    if (parts.hostname or "") not in _LOCAL:
        return []
    try:
        port = parts.port or usual
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, ValueError):  # somebody else's processes: then they are not known
        return []
    listening = (one for one in connections if one.status == psutil.CONN_LISTEN and one.laddr[1:2] == (port,))
    return sorted({one.pid for one in listening if one.pid})
