"""A shop of FastAPI and SQLAlchemy that knows nothing of the lab: an N+1, a slow query, and one in order."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import ForeignKey, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["SHOP_DATABASE_URL"])

SLOW = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 400000)
SELECT sum(n) FROM numbers
"""


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add_all(Author(id=i, name=f"author {i}") for i in range(12))
        session.add_all(Book(id=i, title=f"book {i}", author_id=i) for i in range(12))
        await session.commit()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/books")
async def books() -> list[dict[str, str]]:
    async with AsyncSession(engine) as session:
        found = (await session.scalars(select(Book))).all()
        authors = [
            await session.scalar(select(Author.name).where(Author.id == book.author_id)) for book in found
        ]
        return [{"title": book.title, "author": str(name)} for book, name in zip(found, authors, strict=True)]


@app.get("/report")
async def report() -> int:
    async with AsyncSession(engine) as session:
        return int((await session.execute(text(SLOW))).scalar_one())


@app.get("/count")
async def count() -> int:
    async with AsyncSession(engine) as session:
        return int((await session.execute(select(func.count()).select_from(Book))).scalar_one())
