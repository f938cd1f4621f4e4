from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from adx_lab.core.routes import ROUTES
from adx_lab.core.server.openapi import describe
from tests.core.harness import Client, Core

if TYPE_CHECKING:
    from adx_lab.core.server.routing import Route

DOCUMENT = describe(ROUTES)
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))  # of each operation; 250 are ten thousand requests
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def test_the_document_is_served_and_names_every_route(core: Core) -> None:
    served = httpx.get(f"{core.url}/openapi.json").json()
    assert served == DOCUMENT
    operations = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    routes = {(route.method, route.template) for route in ROUTES}
    assert operations == routes | {("HEAD", path) for method, path in routes if method == "GET"}
    ids = [op["operationId"] for methods in served["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_page_needs_no_network(core: Core) -> None:
    page = httpx.get(f"{core.url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(?:src|href)=[\"']?https?:", page.text)
    assert "<script" not in page.text
    assert all(route.template in page.text for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_knows_its_methods(route: Route, core: Core, admin: Client) -> None:
    path = route.template.replace("{id}", str(uuid4())).replace("{name}", "none")
    told = admin.http.request("OPTIONS", f"{core.url}{path}")
    assert told.status_code == 405
    allowed = set(told.headers["allow"].split(", "))
    assert route.method in allowed
    assert ("HEAD" in allowed) == ("GET" in allowed)
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
        assert admin.http.request(method, f"{core.url}{path}").status_code == 405
    if "HEAD" in allowed:
        head, get = (admin.http.request(method, f"{core.url}{path}") for method in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (get.status_code, b"")


@pytest.fixture(scope="module")
def fuzzer(core: Core, admin: Client) -> Client:
    return Client(core.url, admin.token)


@SCHEMA.exclude(path_regex="/auth/logout").parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_bad_input_is_never_an_internal_error(case: Any, fuzzer: Client, core: Core) -> None:
    answer = case.call(base_url=core.url, headers={"authorization": f"Bearer {fuzzer.token}"})
    assert answer.status_code != 500, (case.as_curl_command(), answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == ["application/problem+json"], answer.headers
        assert case.method == "HEAD" or answer.json()["status"] == answer.status_code
        expected = case.operation.definition.raw["responses"]
        assert str(answer.status_code) in expected or answer.status_code in {404, 405}, (
            case.path,
            answer.text,
        )
