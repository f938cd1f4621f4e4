"""Far into a long list, page by page; and somebody who asks for all of it at once."""

import json

from adx_lab.load.users import Ask, OpenLoopUser, action

_USERS = "/api/v1/users"
_PAGE = 50
_DEEP = 0.6
"""How far into the list the reading begins: what follows is deep, and there is enough of it."""


class Paging(OpenLoopUser):
    """The largest tenant only: nobody else's lists are long."""

    tenants = frozenset({"whale"})
    accounts = 8

    @action(3, "GET /users (deep)", group="users")
    def read_on(self, ask: Ask) -> None:
        if ask.account.cursor is None:
            page = int(_DEEP * ask.account.tenant["user_count"] / _PAGE)
            answer = ask("GET", f"{_USERS}?page_size={_PAGE}&page={page}", endpoint="GET /users (page)")
        else:
            answer = ask("GET", f"{_USERS}?page_size={_PAGE}&cursor={ask.account.cursor}")
        if answer.status_code == 200:
            ask.account.cursor = json.loads(answer.text)["next_cursor"]

    @action(1, "GET /users (greedy)", group="users")
    def ask_for_all(self, ask: Ask) -> None:
        ask("GET", f"{_USERS}?page_size=100000&page=0")
