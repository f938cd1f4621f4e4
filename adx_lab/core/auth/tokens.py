"""Access tokens: who somebody is, signed, and remembered once verified."""

from __future__ import annotations

import hashlib
import secrets
import time
from math import isfinite
from typing import TYPE_CHECKING
from uuid import UUID

import cachebox
import jwt

from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

_ALGORITHM = "HS256"
_ISSUER = "adx-core"
_LEEWAY_S = 10
_REMEMBERED_MAX = 20_000


class Principal:
    """The user that a token names, and the cache scopes that are asked for with every request."""

    __slots__ = (
        "expires_at",
        "session_id",
        "session_item",
        "tenant_id",
        "tenant_scope",
        "user_id",
        "user_scope",
    )

    def __init__(self, tenant_id: str, user_id: str, session_id: str, expires_at: float) -> None:
        self.tenant_id = tenant_id
        self.user_id = user_id
        self.session_id = session_id
        self.expires_at = expires_at
        self.user_scope = user_scope(tenant_id, user_id)
        self.tenant_scope = tenant_scope(tenant_id)
        self.session_item = f"session:{session_id}"


class Tokens:
    """Makes and reads access tokens.

    A signature that was verified once is not verified again: the token itself is the key. Whether its session
    is still good is another question, asked at every request (`auth.authenticate`).
    """

    def __init__(self, secret: str, ttl_s: float) -> None:
        self._secret = secret
        self._ttl_s = ttl_s
        self._known: cachebox.LRUCache[str, Principal] = cachebox.LRUCache(_REMEMBERED_MAX)
        self._find: Callable[[str], Principal | None] = self._known.get

    def make(self, tenant_id: str, user_id: str, session_id: str) -> str:
        """Return a token for a session."""
        now = time.time()
        claims = {
            "iss": _ISSUER, "sub": user_id, "tid": tenant_id, "sid": session_id,
            "iat": int(now), "exp": int(now + self._ttl_s),
        }  # fmt: skip
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, header: str | None) -> Principal:
        """Return whom an ``Authorization`` header names.

        Raises
        ------
        Problem
            401: there is none, it is no bearer token, it was not signed by us, or it is over.
        """
        if header is None:
            raise unauthorized("a bearer token is needed")
        principal = self._find(header)
        if principal is None:
            principal = self._verify(header)
            self._known[header] = principal
        if principal.expires_at <= time.time():
            raise unauthorized("the token is over")
        return principal

    def _verify(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("a bearer token is needed")
        try:
            claims = jwt.decode(
                token.strip(),
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                leeway=_LEEWAY_S,  # clocks differ; when the token is over is looked at exactly, below
                options={"require": ["exp", "sub", "tid", "sid"]},
            )
            tenant_id, user_id, session_id = (str(UUID(claims[name])) for name in ("tid", "sub", "sid"))
            expires_at = float(claims["exp"])
            if not isfinite(expires_at):
                raise unauthorized("the token never ends")
            return Principal(tenant_id, user_id, session_id, expires_at)
        except jwt.ExpiredSignatureError:
            raise unauthorized("the token is over") from None
        except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            raise unauthorized("the token is not valid") from None


def unauthorized(detail: str) -> Problem:
    """Return a 401 problem."""
    return Problem(401, "Unauthorized", detail, headers=[("www-authenticate", 'Bearer realm="adx-core"')])


def user_scope(tenant_id: str, user_id: str) -> str:
    """Return the cache scope of a user."""
    return f"user:{tenant_id}:{user_id}"


def tenant_scope(tenant_id: str) -> str:
    """Return the cache scope of a tenant."""
    return f"tenant:{tenant_id}"


def new_refresh_token() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def refresh_hash(token: str) -> bytes:
    """Return what is stored of a refresh token; it is random, so that a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
