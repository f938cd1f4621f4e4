"""One frozen tree of settings, read once, at the command line.

Five layers, the later wins: the defaults (``tree`` holds the lab's, ``service`` a service's), the reference
core's own project file where no other service is described, ``adx-lab.toml``, found upwards from where one
stands, ``ADX_LAB_*`` in the environment (``ADX_LAB_LOAD_RATE_PER_S=200`` is ``load.rate_per_s``), and flags.
An unknown name is refused with the nearest known one, since a misspelt setting that is silently ignored makes
a wrong measurement. What was resolved is saved in each run.
"""

from __future__ import annotations

from adx_lab.settings.budgets import Budget, Direction, read_budgets
from adx_lab.settings.checking import shared_folder
from adx_lab.settings.reading import FILE, known_names, override, read_settings
from adx_lab.settings.service import (
    BudgetSettings,
    LoginSettings,
    ServiceDatabaseSettings,
    ServiceSettings,
    StartSettings,
)
from adx_lab.settings.tree import (
    CHECKOUT,
    REFERENCE,
    SHIPPED,
    URLS,
    DatabaseSettings,
    DatasetSettings,
    LoadSettings,
    NightSettings,
    Settings,
    ValkeySettings,
)

__all__ = [
    "CHECKOUT",
    "FILE",
    "REFERENCE",
    "SHIPPED",
    "URLS",
    "Budget",
    "BudgetSettings",
    "DatabaseSettings",
    "DatasetSettings",
    "Direction",
    "LoadSettings",
    "LoginSettings",
    "NightSettings",
    "ServiceDatabaseSettings",
    "ServiceSettings",
    "Settings",
    "StartSettings",
    "ValkeySettings",
    "known_names",
    "override",
    "read_budgets",
    "read_settings",
    "shared_folder",
]
