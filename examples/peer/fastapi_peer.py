"""What most would write first: the core's reads in FastAPI with SQLAlchemy, on the core's own tables.

It is started as the core is, by settings in the environment, and tells in the same file where it listens, so
that ``python -m adx_lab.core.bench --peer python examples/peer/fastapi_peer.py`` measures both in one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from granian.constants import Interfaces
from granian.server.embed import Server
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime, Text

SECRET = os.environ["ADX_CORE_TOKEN_SECRET"]
URL = make_url(os.environ["ADX_CORE_DATABASE_URL"]).set(drivername="postgresql+asyncpg")
engine = create_async_engine(URL, pool_size=20, max_overflow=80)
session_of = async_sessionmaker(engine)
app = FastAPI(title="The core's reads")


class Base(DeclarativeBase):
    """The tables of the core, as far as they are read."""

    type_annotation_map = {datetime: DateTime(timezone=True), list[str]: ARRAY(Text)}  # noqa: RUF012


class User(Base):
    """A user of a tenant."""

    __tablename__ = "users"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    is_active: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Role(Base):
    """What its users may do."""

    __tablename__ = "roles"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    permissions: Mapped[list[str]]


class UserRole(Base):
    """Who has which role."""

    __tablename__ = "user_roles"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role_id: Mapped[UUID] = mapped_column(ForeignKey(Role.id), primary_key=True)


class Login(Base):
    """A session."""

    __tablename__ = "sessions"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class File(Base):
    """A file's description."""

    __tablename__ = "files"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime]


class Actor:
    """Who asks, and what it may do."""

    def __init__(self, session: AsyncSession, user: User, roles: list[Role]) -> None:
        self.session = session
        self.user = user
        self.roles = roles

    def need(self, permission: str) -> None:
        """Refuse who may not."""
        if not any(permission in role.permissions for role in self.roles):
            raise HTTPException(403)


async def database() -> Any:
    """Give a request its session of the database."""
    async with session_of() as session:
        yield session


async def authenticate(
    authorization: Annotated[str, Header()], session: Annotated[AsyncSession, Depends(database)]
) -> Actor:
    """Look for the token's session, user and roles."""
    claims = jwt.decode(
        authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"], issuer="adx-core"
    )
    login = await session.get(Login, UUID(claims["sid"]))
    if login is None or login.revoked_at is not None or login.expires_at < datetime.now(UTC):
        raise HTTPException(401)
    user = await session.get(User, (UUID(claims["tid"]), UUID(claims["sub"])))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return Actor(session, user, await roles_of(session, user))


Asking = Annotated[Actor, Depends(authenticate)]


async def roles_of(session: AsyncSession, user: User) -> list[Role]:
    """Return a user's roles."""
    query = (
        select(Role).join(UserRole).where(UserRole.tenant_id == user.tenant_id, UserRole.user_id == user.id)
    )
    return list(await session.scalars(query))


def shown(one: User | File) -> dict[str, Any]:
    """Return a row's columns."""
    return {column.name: getattr(one, column.name) for column in one.__table__.columns}


@app.get("/api/v1/auth/me")
async def me(actor: Asking) -> dict[str, Any]:
    """Show the user, with roles and permissions."""
    permissions = {name for role in actor.roles for name in role.permissions}
    roles = sorted(role.name for role in actor.roles)
    return {**shown(actor.user), "roles": roles, "permissions": sorted(permissions)}


@app.get("/api/v1/users/{user_id}")
async def get_user(user_id: UUID, actor: Asking) -> dict[str, Any]:
    """Show one user."""
    actor.need("users.read")
    user = await actor.session.get(User, (actor.user.tenant_id, user_id))
    if user is None:
        raise HTTPException(404)
    return {**shown(user), "roles": sorted(role.name for role in await roles_of(actor.session, user))}


@app.get("/api/v1/users")
async def list_users(actor: Asking, page_size: int = 50) -> dict[str, Any]:
    """List the active users, the newest first."""
    actor.need("users.read")
    query = (
        select(User)
        .where(User.tenant_id == actor.user.tenant_id, User.is_active)
        .order_by(User.created_at.desc(), User.id.desc())
        .limit(min(page_size, 100))
    )
    return {"items": [shown(user) for user in await actor.session.scalars(query)], "next_cursor": None}


@app.get("/api/v1/files/{file_id}")
async def get_file(file_id: UUID, actor: Asking) -> dict[str, Any]:
    """Describe a file."""
    actor.need("files.read")
    file = await actor.session.get(File, (actor.user.tenant_id, file_id))
    if file is None:
        raise HTTPException(404)
    return shown(file)


async def serve() -> None:
    """Serve in this process, and say where."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(app, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    serving = asyncio.create_task(server.serve())
    await asyncio.sleep(1)
    announced = Path(os.environ["ADX_CORE_ANNOUNCE"])
    document = {"url": f"http://127.0.0.1:{port}", "worker_pids": [os.getpid()]}
    announced.with_suffix(".new").write_text(json.dumps(document), encoding="utf-8")
    announced.with_suffix(".new").replace(announced)
    await serving


if __name__ == "__main__":
    asyncio.run(serve())
