"""Whether somebody answers at a URL, asked before a load is made of it."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from adx_lab.errors import StackError, UsageError
from adx_lab.secrecy import remember_url, shown_url


def answers(url: str) -> bool:
    """Tell whether a server answers at a URL."""
    try:
        check_reachable(url)
    except StackError:
        return False
    return True


def check_reachable(url: str, *, tls: ssl.SSLContext | None = None, timeout_s: float = 5.0) -> None:
    """Return if a server answers at all; what it answers is its own business.

    Parameters
    ----------
    tls
        How its certificate is looked at.
    timeout_s
        How long it may take.

    Raises
    ------
    UsageError
        It isn't an HTTP URL.
    StackError
        Nobody answers.
    """
    remember_url(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{shown_url(url)} is not a URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{shown_url(url)} is not a URL", mend="give one such as http://127.0.0.1:8000")
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)
    else:
        connection = http.client.HTTPSConnection(parts.hostname, port, timeout=timeout_s, context=tls)
    try:
        connection.request("HEAD", parts.path or "/")
        connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        raise StackError(
            f"the certificate of {shown_url(url)} is not to be trusted: {error.verify_message}",
            mend="set service.ca to its CA, or service.verify_tls = false",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise StackError(
            f"nobody answers at {shown_url(url)}: {error}", mend="start the service first"
        ) from error
    finally:
        connection.close()
