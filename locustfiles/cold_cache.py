"""Caches that never get warm: what is read was changed a moment ago, and there is no warm-up."""

from adx_lab.load.users import Ask, OpenLoopUser, action


class ColdCache(OpenLoopUser):
    """Each read of a user follows a change, which empties both layers of the user's entries."""

    rate_per_s = 100.0
    warmup_s = 0.0

    @action(1, "GET /users/{id} (cold)", group="users")
    def read_what_was_changed(self, ask: Ask) -> None:
        person = ask.choose.choice(ask.account.tenant["users"])["id"]
        name = f"Load {ask.choose.randrange(1_000_000)}"
        ask("PATCH", f"/api/v1/users/{person}", body={"name": name}, endpoint="PATCH /users/{id}")
        ask("GET", f"/api/v1/users/{person}")
