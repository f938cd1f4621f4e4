"""The one builder of a run's record: where the run comes from, and what ``run.json`` says of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.capture.resources import describe_machine
from adx_lab.records.run import Origin, RunRecord, Target
from adx_lab.secrecy import HIDDEN, shown_named, shown_url, shown_webhook
from adx_lab.services.git import git
from adx_lab.settings import URLS, Settings

_LIBRARIES = ("adx-lab", "asyncpg", "granian", "locust", "numpy", "pandas", "scipy", "valkey")


def build_record(settings: Settings, *, started_at: datetime, **told: Any) -> RunRecord:
    """Return a run's record with what is known of its surroundings: settings, machine, versions.

    Parameters
    ----------
    started_at
        In UTC.
    told
        The other fields of `RunRecord`.
    """
    return RunRecord(
        started_at=started_at.isoformat(timespec="seconds"),
        settings=describe_settings(settings),
        machine=describe_machine(),
        versions=describe_versions(),
        **told,
    )


def describe_versions() -> dict[str, str]:
    """Return the versions that decide what a run measures, and how it is judged."""
    return {name: version(name) for name in _LIBRARIES}


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings as resolved, without secrets."""
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    for section, name in URLS:
        if shown[section][name]:
            shown[section][name] = shown_url(shown[section][name])
    if settings.night.webhook_url:
        shown["night"]["webhook_url"] = shown_webhook(settings.night.webhook_url)
    service = shown["service"]
    service["start"]["env"] = shown_named(settings.service.start.env)
    for name in ("form", "json"):
        service["login"][name] = dict.fromkeys(service["login"][name], HIDDEN)
    for place in (service, service["database"]):
        if place["url"]:
            place["url"] = shown_url(place["url"])
    return shown


def describe_target(target: Target) -> dict[str, Any]:
    """Return what was measured, without secrets."""
    return {
        name: shown_url(value) if value and name.endswith("_url") else value
        for name, value in asdict(target).items()
    }


def describe_git(folder: Path) -> Origin:
    """Return the commit of a checkout and how many files differ from it; nulls where it is none."""
    changed = git(folder, "status", "--porcelain")
    return Origin(
        commit=git(folder, "rev-parse", "HEAD"),
        subject=git(folder, "log", "-1", "--format=%s"),
        changed_files=None if changed is None else len(changed.splitlines()),
    )
