"""What a service says that it can be asked: the routes of its OpenAPI document."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request

__all__ = ["read_routes"]

_VERBS = frozenset(("get", "put", "post", "delete", "patch", "head", "options"))
_TIMEOUT_S = 5.0


def read_routes(base_url: str, *, tls: ssl.SSLContext | None = None) -> list[str]:
    """Return a service's routes, as ``GET /users/{id}``; none where it does not tell them.

    A HEAD beside a GET is the same work with its answer left out, and no route of its own.
    """
    try:
        url = f"{base_url}/openapi.json"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=tls) as answer:
            paths = json.load(answer)["paths"]
        return sorted(
            f"{verb.upper()} {path}"
            for path, verbs in paths.items()
            for verb in verbs
            if verb in _VERBS and not (verb == "head" and "get" in verbs)
        )
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
