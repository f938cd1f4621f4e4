"""The people of a data set: on whose behalf a scenario's requests are sent."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adx_lab.errors import UsageError

WRITERS = frozenset({"admin", "editor"})
"""Roles that may do everything a scenario asks for."""


@dataclass(slots=True)
class Account:
    """Somebody of the data set, logged in.

    ``runs`` are the workflow runs that were asked for in their name, ``cursor`` is how far they have
    paged, and ``places`` how far in other lists.
    """

    user_id: str
    token: str
    refresh_token: str
    expires_s: float
    tenant: dict[str, Any]
    tenant_kind: str
    credentials: dict[str, str]
    runs: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    cursor: str | None = None
    places: dict[str, str | None] = field(default_factory=dict)


def read_sample(path: str) -> dict[str, Any]:
    """Read the file that tells whom to log in as.

    Raises
    ------
    UsageError
        It is missing or isn't a sample.
    """
    try:
        sample: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        if not any(tenant["users"] for tenant in sample["tenants"]):
            raise UsageError(f"{path} names no user to log in as")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} can't be read as a sample of the data set: {error}") from error
    return sample


def tenant_kinds(tenants: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Name each tenant's kind by its size: the whale, then thirds of the others."""
    ordered = sorted(tenants, key=lambda tenant: -int(tenant["user_count"]))
    kinds = {tenant["id"]: "whale" for tenant in ordered[:1]}
    others = ordered[1:]
    for rank, tenant in enumerate(others):
        kinds[tenant["id"]] = ("large", "median", "small")[3 * rank // len(others)]
    return kinds


def somebody(tenant: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """Draw somebody of a tenant who may do everything a scenario asks for, where it has any."""
    writers = [user for user in tenant["users"] if user["role"] in WRITERS]
    person: dict[str, Any] = choose.choice(writers or tenant["users"])
    return person
