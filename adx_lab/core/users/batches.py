"""Many users at once: a few at a time, and a result for each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import asyncpg
import msgspec
from msgspec import Meta

from adx_lab.core.database.database import UNAVAILABLE
from adx_lab.core.server.http import Request, Response
from adx_lab.core.server.problems import Problem
from adx_lab.core.users.users import NewUser, add_user

if TYPE_CHECKING:
    from adx_lab.core.service import Service

AT_ONCE = 10
_ITEMS_MAX = 100  # each of them costs the hash of a password


class UserBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Users to be."""

    users: Annotated[list[NewUser], Meta(min_length=1, max_length=_ITEMS_MAX)]


class BatchItem(msgspec.Struct, omit_defaults=True):
    """What became of one of them: a user, or a problem."""

    status: int
    user: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})] | None = None
    problem: str | None = None


class BatchResult(msgspec.Struct):
    """A result for each item, in the order in which they came."""

    created: int
    failed: int
    results: list[BatchItem]


async def create_batch(service: Service, request: Request) -> Response:
    """Add many users: one that fails takes no other with it."""
    wanted = await request.read(UserBatch)
    bounded = service.settings.on("async.bounded")
    turns = asyncio.Semaphore(AT_ONCE if bounded else len(wanted.users))
    results = await asyncio.gather(*(_one(service, request, user, turns) for user in wanted.users))
    created = sum(result.status == 201 for result in results)
    body = msgspec.json.encode(BatchResult(created, len(results) - created, results))
    return Response(body, 200 if created == len(results) else 207)


async def _one(service: Service, request: Request, user: NewUser, turns: asyncio.Semaphore) -> BatchItem:
    async with turns:
        try:
            _, body = await add_user(service, request, user)
        except Problem as problem:
            return BatchItem(problem.status, problem=problem.detail or problem.title)
        except asyncpg.DataError:
            return BatchItem(422, problem="a value can't be stored")
        except UNAVAILABLE:
            return BatchItem(503, problem="try again in a moment")
    return BatchItem(201, user=msgspec.Raw(body))
