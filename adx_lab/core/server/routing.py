"""Routes: a dictionary a segment, so that matching costs one look-up each, whatever the number of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from adx_lab.core.server.http import Request, Response
from adx_lab.core.server.problems import Problem

# The first argument is the service, which carries the routes: naming its type here would close a circle.
Handler = Callable[[Any, Request], Awaitable[Response]]
PREFIX = "/api/v1"


class Route(msgspec.Struct, frozen=True, eq=False):
    """An endpoint, and all that documents say of it.

    ``shows`` tells what of the cache the endpoint shows, so that it is read together with the user's access.
    ``permission`` is what the user must be allowed; "" asks only for a token, None for nothing. ``streams``
    marks a body, in or out, that is not held in memory, and is not bound by the ordinary time and size
    limits. ``always`` is answered under any load; ``further`` are the other statuses of an answer that is
    none of the ``problems``.
    """

    method: str
    path: str
    handler: Handler
    group: str
    permission: str | None = ""
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    returns: type[Any] | None = None
    status: int = 200
    streams: bool = False
    prefix: str = PREFIX
    always: bool = False
    shows: Callable[[Any, Request], Any] | None = None
    further: tuple[int, ...] = ()
    problems: tuple[int, ...] = ()

    @property
    def template(self) -> str:
        """The whole path, its arguments by name: what metrics are labelled with."""
        return self.prefix + self.path


class _Node:
    __slots__ = ("argument", "literal", "methods")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.argument: _Node | None = None
        self.methods: dict[str, Route] = {}


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._exact: dict[tuple[str, str], Route] = {}
        for route in self.routes:
            self._add(route)

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        """Return the route and the arguments in its path.

        Raises
        ------
        Problem
            404, or 405 with ``Allow``.
        """
        route = self._exact.get((method, path))
        if route is not None:
            return route, ()
        node = self._root
        args: list[str] = []
        for segment in path.split("/")[1:]:
            child = node.literal.get(segment)
            if child is None:
                child = node.argument
                if child is None or not segment:
                    raise Problem(404, "Not found")
                args.append(segment)
            node = child
        route = node.methods.get(method)
        if route is None:
            if not node.methods:
                raise Problem(404, "Not found")
            raise Problem(405, "Method not allowed", headers=[("allow", ", ".join(sorted(node.methods)))])
        return route, tuple(args)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.template.split("/")[1:]:
            if segment.startswith("{"):
                node.argument = node.argument or _Node()
                node = node.argument
            else:
                node = node.literal.setdefault(segment, _Node())
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            node.methods[method] = route
            if "{" not in route.path:
                self._exact[(method, route.template)] = route
