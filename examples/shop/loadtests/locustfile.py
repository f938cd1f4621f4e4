"""What customers do, as a plain Locust file: it knows nothing of the lab."""

from __future__ import annotations

import random

from locust import HttpUser, between, task


class Visitor(HttpUser):
    """Looks around, and now and then at what was bought."""

    wait_time = between(0.05, 0.15)

    @task(5)
    def look_at_a_product(self) -> None:
        self.client.get(f"/products/{random.randint(1, 20_000)}", name="/products/[id]")

    @task(3)
    def look_at_a_category(self) -> None:
        category = f"category {random.randrange(200)}"
        self.client.get("/products", params={"category": category}, name="/products")

    @task(2)
    def look_at_orders(self) -> None:
        self.client.get(f"/customers/{random.randint(1, 5_000)}/orders", name="/customers/[id]/orders")
