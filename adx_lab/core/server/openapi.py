"""The OpenAPI 3.1 document, made from the table of routes, and a page that shows it without any network."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from adx_lab.core.server.http import SECURITY_HEADERS, Request, Response

if TYPE_CHECKING:
    from adx_lab.core.server.routing import Route
    from adx_lab.core.service import Service

_PAGE_POLICY = (
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
)
_PROBLEMS = {
    400: "Malformed", 401: "No valid token", 403: "Not allowed", 404: "Not found",
    408: "The body does not come", 409: "In conflict", 411: "Length required", 413: "Too large",
    415: "Unsupported media type", 416: "Range not satisfiable", 422: "Invalid value",
    429: "Too many requests", 503: "Unavailable or overloaded",
}  # fmt: skip


class ProblemDocument(msgspec.Struct):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    request_id: str
    detail: str | None = None
    field: str | None = None
    where: str | None = None


async def document(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Show the OpenAPI document."""
    return Response(_document(service.routes))


async def page(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Show the endpoints to a person."""
    response = Response(_page(service.routes), 200, [("content-type", "text/html; charset=utf-8")])
    response.security = [header for header in SECURITY_HEADERS if header[0] != _PAGE_POLICY[0]] + [
        _PAGE_POLICY
    ]
    return response


def describe(routes: tuple[Route, ...]) -> dict[str, Any]:
    """Return the OpenAPI document of routes."""
    structs = {kind for route in routes for kind in (route.body, route.returns) if kind not in {None, bytes}}
    _, components = msgspec.json.schema_components(
        [*sorted(structs, key=lambda kind: kind.__name__), ProblemDocument],
        ref_template="#/components/schemas/{name}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        methods = paths.setdefault(route.template, {})
        methods[route.method.lower()] = _operation(route)
        if route.method == "GET":
            methods["head"] = _head(methods["get"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "ADX Core", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


@lru_cache(maxsize=1)
def _document(routes: tuple[Route, ...]) -> bytes:
    return msgspec.json.encode(describe(routes))


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": (route.handler.__doc__ or "").strip().split("\n")[0],
        "tags": [route.group],
        "responses": _responses(route),
    }
    parameters = [*_path_parameters(route), *_query_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.permission is not None:
        operation["security"] = [{"bearer": []}]
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
    elif route.method == "POST" and route.streams:
        binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": binary}}
    return operation


def _head(get: dict[str, Any]) -> dict[str, Any]:
    """Return what HEAD answers: as GET, without its bodies."""
    responses = {status: {"description": said["description"]} for status, said in get["responses"].items()}
    return {**get, "operationId": f"{get['operationId']}_head", "responses": responses}


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in (route.status, *route.further):
        found[str(status)] = {"description": "Done"}
        content = _content(route)
        if content and status not in {204, 304}:
            found[str(status)]["content"] = content
    expected = {*route.problems, 503} - {503 if route.always and 503 not in route.problems else 0}
    if route.permission is not None:
        expected |= {401, 403, 429}
    if route.body is not None:
        expected |= {400, 408, 413, 415}
    if route.body is not None or route.query is not None:
        expected.add(422)
    for status in sorted(expected):
        schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
        if str(status) in found:
            continue
        found[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": schema},
        }
    return found


def _content(route: Route) -> dict[str, Any]:
    if route.returns is None:
        return {}
    if route.returns is bytes:
        return {"*/*": {"schema": {}}}
    if route.streams and route.method == "GET":
        return {"application/x-ndjson": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _ref(route.returns)}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = [segment[1:-1] for segment in route.path.split("/") if segment.startswith("{")]
    schemas = {"id": {"type": "string", "format": "uuid"}}
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas.get(name, {"type": "string"})}
        for name in names
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = msgspec.json.schema(route.query)
    properties = schema["$defs"][route.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": described}
        for name, described in properties.items()
    ]


def _ref(struct: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


@lru_cache(maxsize=1)
def _page(routes: tuple[Route, ...]) -> bytes:
    document = msgspec.json.decode(_document(routes))
    rows = [
        f"<tr><td><b>{method.upper()}</b></td><td><code>{escape(path)}</code></td>"
        f"<td>{escape(operation['summary'])}</td>"
        f"<td>{'token' if 'security' in operation else ''}</td>"
        f"<td>{', '.join(operation['responses'])}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>ADX Core</title><style>"
        "body{font:15px system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}"
        "td,th{padding:.35rem .7rem;border-bottom:1px solid #ddd;text-align:left}code{font-size:.9em}"
        "</style><h1>ADX Core</h1><p>The whole description: <a href=/openapi.json>openapi.json</a></p>"
        "<table><tr><th>Method<th>Path<th>What it does<th>Needs<th>Answers</tr>"
        f"{''.join(rows)}</table></html>"
    ).encode()
