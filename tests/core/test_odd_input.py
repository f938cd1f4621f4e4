"""Input that makes no sense is the client's fault, and told so."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.core.harness import Core, log_in_as

if TYPE_CHECKING:
    from adx_lab.core.database.sample import Sample

ODD_RANGES = (
    "bytes=-0",
    "bytes=-",
    "bytes=5-2",
    "bytes=0-1,3-4",
    "bytes= 0-1",
    "items=0-1",
    f"bytes={'9' * 5_000}-",
    f"bytes=-{'9' * 5_000}",
    "bytes=+1-2",
    "bytes=0x1-",
    "bytes",
    "",
)
ODD_CURSORS = (
    b"",
    b"x",
    b"0",
    b"0.",
    b".",
    b"0.x",
    b"1e3.x",
    b"-1.00000000-0000-0000-0000-000000000000",
    b"\xff\xfe",
    b"9" * 100 + b".00000000-0000-0000-0000-000000000000",
    b"253402300799999999.00000000-0000-0000-0000-000000000000",
    b"-99999999999999999.00000000-0000-0000-0000-000000000000",
    b"o99999999999999999999999999",
    b"1_0.\x00",
)
ODD_QUERIES = (
    "page_size=-1",
    "page_size=0",
    "page_size=1e3",
    "page_size=NaN",
    "page_size=99999999999999999999",
    "page_size=",
    "page=2147483647&page_size=100",
    "cursor=%00",
    "cursor=%ff",
    "limit=0",
    "limit=2147483648",
    "since=0001-01-01T00:00:00Z",
    "since=9999-12-31T23:59:59-23:59",
    "until=0001-01-01T00:00:00%2B23:59",
    "since=2020-01-01",
    "owner_id=%00",
    "&&&==&",
    "a" * 5_000,
    "%",
    "sort=id'--",
    "page_size=%D9%A1",
)
ODD_BODIES = (
    b"",
    b"null",
    b"[]",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe{",
    b"NaN",
    b'{"input":{"pause_s":NaN}}',
    b"1" * 5_000,
    b'{"input":{"pause_s":1e400}}',
    b'{"input":{"since":"-0001-01-01T00:00:00Z"}}',
    b'{"input":{"pause_s":"\\u0000"}}',
    b'{"email":"\\ud800@b","name":"x","password":"12345678"}',
    b'{"users":[{}]}',
    b'{"users":null}',
    b'{"refresh_token":"\\udfff"}',
    b'{"email":"a@b","name":"\\u0000","password":"12345678"}',
    b'{"input":{}} x',
)


def test_odd_input_is_the_clients_fault_and_head_works(core: Core, sample: Sample) -> None:
    client = log_in_as(core.url, sample)
    content = f"/files/{sample.tenants[1].file_ids[0]}/content"
    assert client.get("/users?" + "&".join(["a=1"] * 51)).status_code == 422
    assert client.get(content, headers={"range": f"bytes=0-{'9' * 5_000}"}).status_code == 416
    nested = b'{"input":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}"
    for path in ("/users", "/workflows/tenant-report/runs"):
        json_type = {"content-type": "application/json"}
        assert client.post(path, content=nested, headers=json_type).status_code in {400, 422}
    for asked in ODD_RANGES:
        assert client.get(content, headers={"range": asked}).status_code in {200, 206, 416}, asked
    for text in ODD_CURSORS:
        cursor = base64.urlsafe_b64encode(text).decode()
        for path in ("/users", "/files"):
            assert client.get(path, params={"cursor": cursor}).status_code in {200, 422}, text
    for query in ODD_QUERIES:
        for path in ("/users", "/files", "/events"):
            assert client.get(f"{path}?{query}").status_code in {200, 422}, (path, query)
    for body in ODD_BODIES:
        for path in (
            "/users",
            "/users/batch",
            "/workflows/tenant-report/runs",
            "/auth/login",
            "/auth/refresh",
        ):
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code in {202, 400, 401, 413, 422}, (path, body[:40], answer.text)
    for path in ("/health", "/users", "/users/export", content):
        head, get = client.http.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
