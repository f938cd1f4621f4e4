"""Variants: ways to build the service, read from what a person types.

``HEAD`` or any git ref, ``.`` for the working tree, a URL; and behind a tree any number of ``+name=value``:

- a rule of the core, switched ``off`` (or ``on``): ``.+cache.l1=off``;
- a setting of the core: ``.+pool.max=5``;
- ``patch=FILE``: a copy of the tree with a patch applied;
- ``sql=FILE``: statements executed in the variant's own clone of the database.
"""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.errors import UsageError
from adx_lab.records.documents import digest
from adx_lab.records.run import Caveat
from adx_lab.services.core_server import CorePlan
from adx_lab.services.sources import Tree, export_ref, patched, same_lock, working_tree
from adx_lab.settings import CHECKOUT, CoreSettings, Settings

_OPTION = re.compile(r"\+(?=[\w.]+=)")
_FILES = ("patch", "sql")
_OWN = frozenset(
    ("host", "port", "announce", "die_with_parent", "database_url", "valkey_url", "key_prefix", "files_url")
)
"""What the lab itself decides for every variant."""

_DESCRIBE_S = 60


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build the service, ready to be started.

    Attributes
    ----------
    text
        As a person wrote it.
    url
        Where it runs already; then there is no tree.
    tree
        Its source.
    core
        How its core is started: rules that are off, settings.
    statements
        SQL to be executed in its clone.
    resolved
        Every rule and setting, by dotted name.
    caveats
        Reasons to doubt a comparison with it.
    """

    text: str
    url: str | None = None
    tree: Tree | None = None
    core: CoreSettings = field(default_factory=CoreSettings)
    statements: str = ""
    resolved: Mapping[str, str] = field(default_factory=dict)
    caveats: tuple[Caveat, ...] = ()

    @property
    def identity(self) -> str:
        """A digest of all that decides how it behaves: equal for equal variants."""
        if self.tree is None:
            return digest(["url", self.url])
        core = [self.core.workers, sorted(self.core.rules_off.split(",")), dict(self.core.env)]
        return digest([self.tree.fingerprint, core, self.statements])

    @property
    def queries_folder(self) -> Path:
        """The named queries of its source."""
        return (self.tree.path if self.tree else CHECKOUT) / "adx_lab" / "core" / "queries"

    def describe(self) -> dict[str, Any]:
        """Return what a run's record keeps of it."""
        return {
            "text": self.text,
            "url": self.url,
            "commit": self.tree.commit if self.tree else None,
            "changed": self.tree.changed if self.tree else None,
            "fingerprint": self.tree.fingerprint if self.tree else None,
            "rules_off": self.core.rules_off,
            "env": dict(self.core.env),
            "statements": self.statements,
            "identity": self.identity,
            "resolved": dict(self.resolved),
        }


def read_variant(text: str, settings: Settings) -> Variant:
    """Read one variant and find its source.

    Raises
    ------
    UsageError
        The ref, a rule, a setting or a file is unknown, or a value can't be one.
    """
    if re.match(r"https?://", text):
        return Variant(text, url=text.rstrip("/"))
    name, *options = _OPTION.split(text)
    if not name:
        raise UsageError(f"{text!r} names no tree", mend="begin it with `.` or a git ref")
    folder = settings.stack_dir / "worktrees"
    checkout = working_tree(CHECKOUT)
    tree = checkout if name == "." else export_ref(CHECKOUT, name, folder)
    caveats: tuple[Caveat, ...] = ()
    if not same_lock(tree, checkout):
        doubt = f"{name} asks for other libraries than those that are installed, and runs with these"
        caveats = (Caveat("lock", doubt),)
    pairs = [option.split("=", 1) for option in options]
    if any(len(pair) != 2 for pair in pairs):
        raise UsageError(f"{text!r} has an option without a value", mend="write it as .+name=value")
    files = [(key, Path(value)) for key, value in pairs if key in _FILES]
    statements = ""
    for kind, path in files:
        if kind == "patch":
            tree = patched(tree, path, folder)
        else:
            statements += _read(path)
    values = {key: value for key, value in pairs if key not in _FILES}
    core, resolved = _configure(tree, settings.core, values)
    return replace(
        Variant(text, tree=tree, core=core, statements=statements, resolved=resolved), caveats=caveats
    )


def plan_of(variant: Variant, name: str, *, database_url: str, valkey_url: str, stack_dir: Path) -> CorePlan:
    """Return how a variant's core is started; ``name`` is its key prefix too."""
    assert variant.tree is not None
    return CorePlan(
        name=name,
        database_url=database_url,
        valkey_url=valkey_url,
        stack_dir=stack_dir,
        settings=variant.core,
        source=variant.tree.path,
    )


def _configure(
    tree: Tree, core: CoreSettings, values: Mapping[str, str]
) -> tuple[CoreSettings, dict[str, str]]:
    """Sort options into rules and settings, as the tree's own core knows them."""
    known = _describe(tree, core)
    off = {rule for rule in core.rules_off.split(",") if rule}
    env = dict(core.env)
    for name, value in values.items():
        if name in known["rules"]:
            if value not in {"on", "off"}:
                raise UsageError(f"{name} is a rule: it can be on or off, not {value}")
            off = off | {name} if value == "off" else off - {name}
        elif name in known["settings"] and name not in _OWN:
            env["ADX_CORE_" + name.replace(".", "_").upper()] = value
        else:
            names = [*known["rules"], *(item for item in known["settings"] if item not in _OWN)]
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise UsageError(f"the core has no rule or setting {name}", mend=f"did you mean {near[0]}?")
    if "pool.max" in values and "pool.min" not in values and values["pool.max"].isdigit():
        # Who asks for a pool of five means five, not a quarrel about the least.
        least = min(int(known["settings"]["pool.min"]), int(values["pool.max"]))
        env["ADX_CORE_POOL_MIN"] = str(least)
    # Two are up at once: each takes a free port.
    made = msgspec.structs.replace(core, port=0, rules_off=",".join(sorted(off)), env=env)
    told = _describe(tree, made)  # refuses a value that can't be
    resolved = {rule: "on" if on else "off" for rule, on in told["rules"].items()}
    resolved |= {name: str(value) for name, value in told["settings"].items() if name not in _OWN}
    return made, resolved


def _describe(tree: Tree, core: CoreSettings) -> dict[str, dict[str, Any]]:
    """Ask a tree's core for its rules and settings.

    One that is too old to tell, or does not run at all, is taken for ours: what is wrong with it shows when
    it is started.
    """
    plan = CorePlan("asked", "postgresql:///", "", tree.path / "none", core, source=tree.path)
    environ = plan.environ() | {"ADX_CORE_DIE_WITH_PARENT": "0"}
    command = [sys.executable, "-m", "adx_lab.core", "settings"]
    done = subprocess.run(
        command, cwd=tree.path, env=environ, check=False, capture_output=True, text=True, timeout=_DESCRIBE_S
    )
    if done.returncode == 0:
        told: dict[str, dict[str, Any]] = json.loads(done.stdout)
        return told
    said = [line for line in done.stderr.splitlines() if line.startswith("adx_lab.core: ")]
    if done.returncode == UsageError.exit_code and said:
        raise UsageError(f"the core refused: {said[-1].removeprefix('adx_lab.core: ')}")
    if tree.path != CHECKOUT:
        return _describe(working_tree(CHECKOUT), core)
    raise UsageError(f"the core of {tree.path} does not run: {done.stderr.strip()[-200:]}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
