"""What of a service can be switched off and set: it says so itself, as JSON."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adx_lab.errors import UsageError
from adx_lab.services.sources import SourceTree, working_tree
from adx_lab.services.starting.start import StartOrder, filled
from adx_lab.settings import Settings, StartSettings

_ASK_S = 60


@dataclass(frozen=True, slots=True)
class SwitchList:
    """What a service says of itself: switches that are on or off, and settings with their values."""

    switches: Mapping[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def settable(self, name: str, start: StartSettings) -> bool:
        """Tell whether a setting is a variant's to set: what the project file fills in is the lab's."""
        variable = start.setting_env.replace("{NAME}", name.replace(".", "_").upper())
        ours = "{" in start.env.get(variable, "")
        return name in self.settings and bool(start.setting_env) and not ours

    def names(self, start: StartSettings) -> list[str]:
        """Return all that a variant can name."""
        return [*self.switches, *(name for name in self.settings if self.settable(name, start))]


def ask_switches(tree: SourceTree, settings: Settings, start: StartSettings) -> SwitchList:
    """Ask a tree's service for its switches and settings; one without the command has none.

    One that is too old to tell, or does not run at all, is taken for the working tree's: what is wrong with
    it shows when it is started.

    Raises
    ------
    UsageError
        It refuses a setting, or the working tree's own command fails.
    """
    if not start.switches:
        return SwitchList()
    service = msgspec.structs.replace(settings.service, start=start)
    order = StartOrder("asked", service, tree.path, tree.path / "none")
    words = {name: shlex.quote(value) for name, value in order.words().items()}
    environ = order.environ() | {"ADX_CORE_DIE_WITH_PARENT": "0"}
    done = subprocess.run(
        ["/bin/sh", "-c", filled(start.switches, words, "switches")],
        cwd=tree.path,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=_ASK_S,
    )
    if done.returncode == 0:
        return _read(done.stdout)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    last = said[-1].removeprefix("adx_lab.core: ") if said else "it said nothing"
    if done.returncode == UsageError.exit_code and len(said) == 1:
        raise UsageError(f"{service.name or 'the service'} refused: {last}")
    if tree.path != settings.source_dir:
        return ask_switches(working_tree(settings.source_dir, start), settings, start)
    raise UsageError(f"the command `switches` fails in {tree.path}: {last}")


def _read(text: str) -> SwitchList:
    try:
        told = json.loads(text)
        return SwitchList(
            dict(told.get("switches") or told.get("rules") or {}), dict(told.get("settings") or {})
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"the command `switches` did not print what can be switched as JSON: {error}",
            mend='print {"switches": {"cache": true}, "settings": {"pool.size": 5}}',
        ) from error
