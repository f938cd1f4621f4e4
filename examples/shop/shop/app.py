"""The shop's HTTP interface."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, HTTPException
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from shop.tables import Customer, Order, Product

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=int(os.environ.get("POOL_SIZE", "10")))
session_of = async_sessionmaker(engine)
app = FastAPI(title="Shop")

TOKEN = os.environ.get("SHOP_TOKEN", "letmein")


@app.get("/health")
async def health() -> dict[str, str]:
    """Say whether the database answers."""
    async with session_of() as session:
        await session.execute(text("SELECT 1"))
    return {"status": "up"}


@app.post("/auth/token")
async def log_in() -> dict[str, str]:
    """Let anybody in: it is an example."""
    return {"access_token": TOKEN}


@app.get("/products")
async def products(category: str, limit: int = 20) -> list[dict[str, Any]]:
    """List a category, the cheapest first."""
    query = select(Product).where(Product.category == category).order_by(Product.price).limit(limit)
    async with session_of() as session:
        return [{"id": one.id, "name": one.name, "price": one.price} for one in await session.scalars(query)]


@app.get("/products/{product_id}")
async def product(product_id: int) -> dict[str, Any]:
    """Show one product."""
    async with session_of() as session:
        found = await session.get(Product, product_id)
    if found is None:
        raise HTTPException(404)
    return {"id": found.id, "name": found.name, "price": found.price}


@app.get("/customers/{customer_id}/orders")
async def orders(customer_id: int) -> dict[str, Any]:
    """List what somebody bought."""
    async with session_of() as session:
        customer = await session.get(Customer, customer_id)
        if customer is None:
            raise HTTPException(404)
        query = select(Order, Product).join(Product).where(Order.customer_id == customer_id)
        rows = (await session.execute(query)).all()
        lines = [{"pieces": order.pieces, "product": product.name} for order, product in rows]
    return {"customer": customer.name, "orders": lines}
