"""Asking for durable work: a run is a row, and that it stands is the acknowledgement.

The workers are woken by a notification of the database's, and look for themselves every second, so that one
that is lost delays a run and loses nothing. It is not part of the transaction that makes the row: notifying
transactions commit one after the other, and fifty at once would wait for fifty writes to the disk. So asking
costs one statement, there is no second system and no second write that could be lost between, and a run that
was asked for with an idempotency key can't be asked for twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from adx_lab.core.auth.access import load_text
from adx_lab.core.auth.fields import Id
from adx_lab.core.server.http import JSON, Request, Response, reply
from adx_lab.core.server.ids import checked_id, new_id
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.service import Service

FILE_PROCESS = "file-process"
TENANT_REPORT = "tenant-report"
_KEY_MAX = 200


class ReportInput(msgspec.Struct, forbid_unknown_fields=True):
    """What a tenant's report covers, and how long it rests between its steps."""

    since: Annotated[datetime, Meta(tz=True)] | None = None
    pause_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


class FileInput(msgspec.Struct, forbid_unknown_fields=True):
    """The file to process."""

    file_id: Id


INPUTS: dict[str, type[msgspec.Struct]] = {TENANT_REPORT: ReportInput, FILE_PROCESS: FileInput}


class NewRun(msgspec.Struct, forbid_unknown_fields=True):
    """What a run works on."""

    input: dict[str, Any] = {}


class Accepted(msgspec.Struct):
    """A run that will take place."""

    id: Id
    status_url: str


class Run(msgspec.Struct):
    """A run, and how far it is."""

    id: Id
    tenant_id: Id
    user_id: Id
    name: str
    input: dict[str, Any]
    status: str
    steps_done: int
    result: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class RunStatus(msgspec.Struct):
    """How a run stands."""

    id: Id
    status: str


async def start_run(service: Service, request: Request) -> Response:
    """Ask for a run of a workflow."""
    name = request.args[0]
    if name not in INPUTS:
        raise Problem(404, "Not found", "there is no such workflow")
    wanted = await request.read(NewRun)
    try:
        given = msgspec.convert(wanted.input, INPUTS[name])
    except msgspec.ValidationError as error:
        raise Problem(422, "Invalid value", str(error), field="input", where="body") from None
    if isinstance(given, FileInput):
        await _check_file(service, request, given.file_id)
    return await _ask(service, request, name, given)


async def process_file(service: Service, request: Request) -> Response:
    """Ask for a file to be processed."""
    file_id = checked_id(request.args[0])
    await _check_file(service, request, file_id)
    return await _ask(service, request, FILE_PROCESS, FileInput(file_id))


async def get_run(service: Service, request: Request) -> Response:
    """Show a run."""
    run_id = checked_id(request.args[0])
    body = await load_text(
        service, "workflows.get", request.principal.tenant_id, run_id, timing=request.timing
    )
    if body is None:
        raise Problem(404, "Not found")
    return Response(body)


async def cancel_run(service: Service, request: Request) -> Response:
    """Cancel a run; one that is over stays as it is."""
    run_id = checked_id(request.args[0])
    status = await service.db.value(
        "workflows.cancel", request.principal.tenant_id, run_id, timing=request.timing
    )
    if status is None:
        raise Problem(404, "Not found")
    if status != "cancelled":
        raise Problem(409, "Conflict", f"the run is {status}")
    service.waker.wake()
    return reply(RunStatus(run_id, status), 202)


async def _check_file(service: Service, request: Request, file_id: str) -> None:
    found = await service.db.fetch(
        "files.locate", request.principal.tenant_id, file_id, timing=request.timing
    )
    if not found:
        raise Problem(404, "Not found", "there is no such file")


async def _ask(service: Service, request: Request, name: str, given: msgspec.Struct) -> Response:
    key = request.header("idempotency-key")
    # One that is no text is not shown to us: to pass over it would do twice what was meant to be done once.
    given_none = key is None and "idempotency-key" not in request.headers
    if not given_none and not (key and len(key) <= _KEY_MAX and key.isascii() and key.isprintable()):
        raise Problem(
            422, "Invalid value", "expected up to 200 printable characters", field="idempotency-key"
        )
    principal = request.principal
    rows = await service.db.fetch(
        "workflows.start", principal.tenant_id, new_id(), principal.user_id, name, key,
        msgspec.json.encode(given).decode(), timing=request.timing,
    )  # fmt: skip
    if not rows:
        # The earlier run with this key was made by a transaction that this statement could not see yet.
        raise Problem(409, "Conflict", "the same run is being asked for", headers=[("retry-after", "1")])
    if not rows[0]["same"]:
        raise Problem(422, "Invalid value", "the key was used with another input", field="idempotency-key")
    service.waker.wake()
    run_id = str(rows[0]["id"])
    url = f"/api/v1/workflows/runs/{run_id}"
    return Response(msgspec.json.encode(Accepted(run_id, url)), 202, [JSON, ("location", url)])
