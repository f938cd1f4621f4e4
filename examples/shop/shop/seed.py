"""Fill an empty database: ``python -m shop.seed``; the same rows each time."""

from __future__ import annotations

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shop.tables import Base

PRODUCTS, CUSTOMERS, ORDERS = 20_000, 5_000, 60_000

_ROWS = (
    f"""INSERT INTO products SELECT n, 'Product ' || n, 'category ' || n % 200, n * 7 % 1000
    FROM generate_series(1, {PRODUCTS}) AS n""",
    f"INSERT INTO customers SELECT n, 'Customer ' || n FROM generate_series(1, {CUSTOMERS}) AS n",
    f"""INSERT INTO orders SELECT n, 1 + n * 13 % {CUSTOMERS}, 1 + n * 31 % {PRODUCTS}, 1 + n % 5
    FROM generate_series(1, {ORDERS}) AS n""",
)


async def main() -> None:
    """Make the tables and their rows."""
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        for statement in _ROWS:
            await connection.execute(text(statement))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
