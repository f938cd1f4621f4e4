"""What the truth server is asked: each kind of delay, told when each request should have left."""

from __future__ import annotations

import os

from adx_lab.load.users import Ask, OpenLoopUser, action


def tell(ask: Ask, path: str) -> None:
    ask("GET", path, headers={"X-Intended": repr(ask._intended)})


class Truth(OpenLoopUser):
    rate_per_s = 400.0

    @action(1, "fixed", group="fixed")
    def fixed(self, ask: Ask) -> None:
        tell(ask, "/fixed")

    @action(1, "lognormal", group="lognormal")
    def lognormal(self, ask: Ask) -> None:
        tell(ask, "/lognormal")

    @action(1, "bimodal", group="bimodal")
    def bimodal(self, ask: Ask) -> None:
        tell(ask, "/bimodal")

    @action(1, "stall", group="stall")
    def stall(self, ask: Ask) -> None:
        tell(ask, os.environ["STALL_URL"] + "/stall")
