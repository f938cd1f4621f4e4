"""Whether a service that was started serves, and what keeps it from it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from contextlib import suppress

import psutil

from adx_lab.processes import Child
from adx_lab.settings import StartSettings

_REFUSED, _BROKEN = 400, 500
"""From which status on an answer says no, and says that it can't be given."""


def is_ready(url: str, path: str) -> bool:
    """Tell whether a service serves: below 400 at its path, or with any answer where it names none."""
    if path:
        return answers_ready(url + path)
    status = _status_at(f"{url}/")
    return status is not None and status < _BROKEN


def answers_ready(url: str) -> bool:
    """Tell whether a service answers at this URL, below 400."""
    status = _status_at(url)
    return status is not None and status < _REFUSED


def _status_at(url: str) -> int | None:
    """Return what a service answers; None where it does not, and the caller has a deadline."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException, ValueError):
        return None


def why_unready(child: Child, url: str, start: StartSettings) -> str:
    """Return what keeps a service that runs from being ready, as far as it can be seen, and the mend."""
    status = _status_at(url + (start.ready or "/"))
    if status is not None and start.ready:
        return f"{start.ready} answered {status}: set service.start.ready to a path that answers below 400"
    if status is not None:
        return f"it answered {status}"
    port, listens = url.rpartition(":")[2], _listens(child)
    if listens and port not in listens:
        return f"it listens on {', '.join(listens)} and not on {port}: let its command take {{port}}"
    return (
        "it does not answer" if listens else "it listens on no port; service.start.ready_s gives it more time"
    )


def _listens(child: Child) -> list[str]:
    """Return the ports on which what a command started listens."""
    found: set[int] = set()
    with suppress(psutil.Error):
        for process in psutil.Process(child.pid).children(recursive=True):
            with suppress(psutil.Error):
                told = process.net_connections("inet")
                found |= {one.laddr.port for one in told if one.status == psutil.CONN_LISTEN}
    return [str(port) for port in sorted(found)]
