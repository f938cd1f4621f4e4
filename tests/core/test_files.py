from __future__ import annotations

import hashlib
import os
import socket
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.core.harness import Client, Core, eventually, log_in_as
from tests.core.test_gateway import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from adx_lab.core.database.sample import Sample

CONTENT = os.urandom(700_001)


@pytest.fixture(scope="module")
def uploaded(admin: Client) -> str:
    answer = admin.post(
        "/files", params={"name": "a b.bin"}, content=CONTENT, headers={"content-type": "application/x-test"}
    )
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert file["size"] == len(CONTENT)
    assert file["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert answer.headers["location"] == f"/api/v1/files/{file['id']}"
    return str(file["id"])


def test_a_file_comes_back_as_it_went(admin: Client, uploaded: str) -> None:
    answer = admin.get(f"/files/{uploaded}/content")
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/x-test"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert "a%20b.bin" in answer.headers["content-disposition"]
    assert admin.get(f"/files/{uploaded}").json()["name"] == "a b.bin"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-300000", 100, 300_001),
        ("bytes=700000-", 700_000, 700_001),
        ("bytes=-5", 699_996, 700_001),
        ("bytes=5-99999999", 5, 700_001),
    ],
)
def test_a_range_is_that_part(asked: str, first: int, last: int, admin: Client, uploaded: str) -> None:
    answer = admin.get(f"/files/{uploaded}/content", headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == CONTENT[first:last]
    assert answer.headers["content-length"] == str(last - first)
    assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(CONTENT)}"


def test_ranges_that_can_not_be_had(admin: Client, uploaded: str) -> None:
    beyond = admin.get(f"/files/{uploaded}/content", headers={"range": "bytes=700001-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(CONTENT)}"
    malformed = admin.get(f"/files/{uploaded}/content", headers={"range": "lines=1-2"})
    assert (malformed.status_code, malformed.content) == (200, CONTENT)
    changed = admin.get(f"/files/{uploaded}/content", headers={"range": "bytes=0-0", "if-range": '"other"'})
    assert changed.status_code == 200


def test_what_the_client_has_is_not_sent_again(admin: Client, uploaded: str) -> None:
    etag = admin.get(f"/files/{uploaded}/content").headers["etag"]
    answer = admin.get(f"/files/{uploaded}/content", headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_an_empty_file_is_a_file(admin: Client) -> None:
    file = admin.post("/files", content=b"").json()
    assert file["size"] == 0
    answer = admin.get(f"/files/{file['id']}/content")
    assert (answer.status_code, answer.content) == (200, b"")


def test_files_of_the_data_set_have_contents(admin: Client, sample: Sample) -> None:
    file = admin.get(f"/files/{sample.tenants[1].file_ids[0]}").json()
    content = admin.get(f"/files/{file['id']}/content").content
    assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_lists_are_of_the_tenant_or_of_an_owner(admin: Client, sample: Sample, uploaded: str) -> None:
    me = sample.tenants[1].users[0].id
    everything = admin.get("/files", params={"page_size": 100}).json()
    assert len(everything["items"]) == 100
    assert any(item["owner_id"] != me for item in everything["items"])
    mine = admin.get("/files", params={"owner_id": me}).json()["items"]
    assert uploaded in [item["id"] for item in mine]
    assert {item["owner_id"] for item in mine} == {me}
    second = admin.get("/files", params={"page_size": 100, "cursor": everything["next_cursor"]}).json()
    assert not {item["id"] for item in everything["items"]} & {item["id"] for item in second["items"]}


def test_a_deleted_file_is_gone_with_its_content(admin: Client, core: Core) -> None:
    file = admin.post("/files", content=b"short").json()
    assert admin.delete(f"/files/{file['id']}").status_code == 204
    assert admin.get(f"/files/{file['id']}").status_code == 404
    assert admin.get(f"/files/{file['id']}/content").status_code == 404
    assert admin.delete(f"/files/{file['id']}").status_code == 404


def test_a_removal_that_broke_off_can_be_repeated(
    start_core: Callable[..., Core], sample: Sample, clone_url: str, tmp_path: Path
) -> None:
    core = start_core(database_url=clone_url, gateway_timeout_s=0.5, files_url=tmp_path / "kept")
    client = log_in_as(core.url, sample)
    file_id = client.post("/files", content=b"short").json()["id"]
    with locked(clone_url, "files", "SHARE"):  # it can be read, and not changed
        assert client.delete(f"/files/{file_id}").status_code == 503
    assert client.delete(f"/files/{file_id}").status_code == 204  # though its content is gone already
    assert client.get(f"/files/{file_id}").status_code == 404
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_an_upload_without_a_length_is_refused(admin: Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"

    assert admin.post("/files", content=chunks()).status_code == 411


def test_an_upload_that_is_too_large_is_refused_at_once(
    start_core: Callable[..., Core], sample: Sample
) -> None:
    core = start_core(gateway_upload_max=1000)
    client = log_in_as(core.url, sample)
    assert client.post("/files", content=b"x" * 1001).status_code == 413
    assert client.post("/files", content=b"x" * 1000).status_code == 201


def test_an_upload_that_breaks_off_leaves_nothing(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core()
    client = log_in_as(core.url, sample)
    before = client.get("/files").json()["items"][0]["id"]
    parts = urlsplit(core.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        head = f"POST /api/v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.token}\r\n"
        connection.sendall(f"{head}content-length: 1000000\r\n\r\n".encode() + b"x" * 300_000)
    folder = core.announced.parent / "files"
    eventually(lambda: not [path for path in folder.rglob("*") if path.is_file()])
    assert client.get("/files").json()["items"][0]["id"] == before
    assert client.get("/ready").json()["status"] == "ok"


def test_processing_needs_a_file(admin: Client) -> None:
    assert admin.post(f"/files/{uuid.uuid4()}/process").status_code == 404


def test_unchunked_files_are_the_same(
    start_core: Callable[..., Core], sample: Sample, tmp_path: Path
) -> None:
    client = log_in_as(start_core(rules_off="files.chunked").url, sample)
    file = client.post("/files", content=CONTENT).json()
    assert client.get(f"/files/{file['id']}/content").content == CONTENT
    assert client.get(f"/files/{file['id']}/content", headers={"range": "bytes=1-2"}).content == CONTENT[1:3]
