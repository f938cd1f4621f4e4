"""What a day looks like: every group of endpoints at realistic weights, tenants drawn by their size."""

from __future__ import annotations

import uuid

from adx_lab.load.users import Ask, OpenLoopUser, action


class Mixed(OpenLoopUser):
    """Mostly reading, some writing, now and then a login."""

    @action(4, "GET /health", group="gateway")
    def health(self, ask: Ask) -> None:
        ask("GET", "/api/v1/health")

    @action(30, "GET /auth/me", group="auth")
    def me(self, ask: Ask) -> None:
        ask("GET", "/api/v1/auth/me")

    @action(0.5, "POST /auth/login", group="auth")
    def login(self, ask: Ask) -> None:
        ask("POST", "/api/v1/auth/login", body=ask.account.credentials)

    @action(35, "GET /users/{id}", group="users")
    def get_user(self, ask: Ask) -> None:
        person = ask.choose.choice(ask.account.tenant["users"])
        ask("GET", f"/api/v1/users/{person['id']}")

    @action(20, "GET /users", group="users")
    def list_users(self, ask: Ask) -> None:
        ask("GET", "/api/v1/users?page_size=50")

    @action(1, "POST /users", group="users")
    def create_user(self, ask: Ask) -> None:
        name = uuid.uuid4().hex  # not from the seed: the same run twice must not make the same people
        body = {"email": f"{name}@load.test", "name": f"Load {name[:8]}", "password": f"pass-{name}"}
        ask("POST", "/api/v1/users", body=body)
