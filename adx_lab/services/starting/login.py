"""Log in at a service as its project file says, before a load: the headers that its users then send."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from adx_lab.errors import MeasurementError, UsageError
from adx_lab.secrecy import remember
from adx_lab.services.starting.start import expanded, tls_context
from adx_lab.settings import ServiceSettings

_LOGIN_S = 30.0


def log_in(service: ServiceSettings, url: str) -> dict[str, str]:
    """Return the headers of who is logged in; none where the project file says nothing of a login.

    Raises
    ------
    UsageError
        The project file's login can't be one, or names a variable that is not set.
    MeasurementError
        The service lets nobody in.
    """
    login = service.login
    if not login.request:
        return {}
    method, _, path = login.request.partition(" ")
    if not path.startswith("/"):
        raise UsageError(
            f"service.login.request is {login.request!r}", mend='say method and path: "POST /auth/token"'
        )
    body, kind = _body(login.form, login.json)
    headers = {"Content-Type": kind} if body else {}
    request = Request(url + path, body, headers, method=method.upper())
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=tls_context(service, url)))
    try:
        with opener.open(request, timeout=_LOGIN_S) as answer:
            text, cookies = answer.read(), answer.headers.get_all("Set-Cookie") or []
    except HTTPError as error:
        raise MeasurementError(
            f"the login {login.request} at {url} was answered {error.code}", mend="correct [service.login]"
        ) from error
    except (URLError, OSError, http.client.HTTPException) as error:
        raise MeasurementError(f"the login {login.request} at {url} failed: {error}") from error
    if login.token:
        token = _token(text, login.token)
        remember(token)
        name, _, value = login.header.partition(":")
        return {name.strip(): value.strip().replace("{token}", token)}
    if not cookies:
        raise MeasurementError(
            f"the login {login.request} at {url} gave no cookie", mend="say where the token is: token = …"
        )
    pairs = [cookie.partition(";")[0] for cookie in cookies]
    remember(*(pair.partition("=")[2] for pair in pairs))
    return {"Cookie": "; ".join(pairs)}


def _body(form: Mapping[str, str], document: Mapping[str, str]) -> tuple[bytes | None, str]:
    if form:
        filled = {name: expanded(value, "service.login.form") for name, value in form.items()}
        return urlencode(filled).encode(), "application/x-www-form-urlencoded"
    if document:
        filled = {name: expanded(value, "service.login.json") for name, value in document.items()}
        return json.dumps(filled).encode(), "application/json"
    return None, ""


def _token(text: bytes, path: str) -> str:
    try:
        found: Any = json.loads(text)
        for name in path.split("."):
            found = found[int(name)] if isinstance(found, list) else found[name]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise MeasurementError(
            f"the login's answer holds no {path}", mend="correct service.login.token"
        ) from error
    return str(found)
