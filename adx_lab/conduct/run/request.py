"""What is to be loaded: a scenario by name, or a locustfile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adx_lab.errors import UsageError, nearest
from adx_lab.load.order import TRUST_VARIABLE
from adx_lab.load.starting.defaults import refuse_the_labs
from adx_lab.load.starting.machines import Machines
from adx_lab.records.run import Purpose
from adx_lab.services.starting.start import expanded
from adx_lab.settings import SHIPPED, ServiceSettings, Settings


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be loaded, and how.

    Attributes
    ----------
    given
        The settings of ``load`` that the command line names: they win over the scenario's own.
    url
        Somebody else's service; None for the stack's.
    sample_file
        Whom to log in as there.
    replay
        The run whose schedule is sent again.
    machines
        How the load is spread over processes and machines.
    night
        The loaded run of the night that this one is made for.
    """

    scenario: str
    locustfile: Path
    purpose: Purpose = "load"
    given: frozenset[str] = frozenset()
    url: str | None = None
    sample_file: str | None = None
    replay: str | None = None
    machines: Machines = field(default_factory=Machines)
    night: str | None = None


def find_scenario(settings: Settings, name: str, *, purpose: Purpose = "load") -> LoadRequest:
    """Return the load of a scenario by name.

    Raises
    ------
    UsageError
        There is no such locustfile.
    """
    known = settings.scenario_files()
    if settings.load.locustfile:
        known = known | {Path(settings.load.locustfile).stem: settings.project_dir / settings.load.locustfile}
    if name not in known and (name.endswith(".py") or Path(name).is_dir()):
        raise UsageError(f"{name} is a file, and no scenario's name", mend=f"give it as --locustfile {name}")
    if name not in known:
        raise UsageError(f"unknown scenario {name}", mend=nearest(name, sorted(known)))
    return LoadRequest(name, known[name], purpose)


def usual_scenario(settings: Settings) -> str:
    """Return the name of the scenario that is taken where nobody names one."""
    own = settings.load.locustfile
    if own:
        return Path(own).stem
    if settings.is_reference:
        return "mixed"
    raise UsageError(
        f"nobody says what {settings.service.name} is loaded with",
        mend="name a scenario, or load.locustfile in the project file",
    )


def is_ours(locustfile: Path) -> bool:
    """Tell whether a locustfile is one of the lab's own scenarios, as they are shipped; a home has copies."""
    shipped = SHIPPED / "locustfiles" / locustfile.name
    return shipped.exists() and shipped.read_bytes() == locustfile.read_bytes()


def locust_words(settings: Settings, locustfile: Path) -> tuple[str, ...]:
    """Return the options for Locust besides: tags, and those of the file's own; the lab's files have none.

    Raises
    ------
    UsageError
        One of them is the lab's to say.
    """
    if is_ours(locustfile):
        return ()
    refuse_the_labs(settings.load.arguments)
    tags = ("--tags", *settings.load.tags) if settings.load.tags else ()
    return (*tags, *settings.load.arguments)


def locust_trust(service: ServiceSettings) -> dict[str, str | None]:
    """Return the variables that tell Locust's `HttpUser` whose certificate is trusted."""
    if service.verify_tls and service.ca:
        # Locust's own sessions look at no bundle that the environment names; what else a file opens does.
        return {TRUST_VARIABLE: service.ca, "REQUESTS_CA_BUNDLE": service.ca}
    if service.verify_tls:
        return {}
    # A bundle that the environment names would be verified against all the same.
    return {TRUST_VARIABLE: "", "REQUESTS_CA_BUNDLE": None, "CURL_CA_BUNDLE": None}


def load_request(
    settings: Settings, scenario: str | None, locustfile: Path | None, *, given: frozenset[str], **more: Any
) -> LoadRequest:
    """Return a load of a scenario by name, or of somebody else's locustfile.

    Parameters
    ----------
    given
        The settings of ``load`` that somebody named.
    more
        The other fields of `LoadRequest`.

    Raises
    ------
    UsageError
        Neither or both are named, or the file does not exist.
    """
    refuse_the_labs(settings.load.arguments)  # before anything is started
    if scenario is None and locustfile is None and settings.load.locustfile:
        locustfile = settings.project_dir / settings.load.locustfile
    if (scenario is None) == (locustfile is None):
        raise UsageError("say what to load", mend="name a scenario, or a file with --locustfile")
    if not more.get("url") and not settings.service.start.command:
        more["url"] = settings.service.url and expanded(settings.service.url, "service.url")
    if locustfile is None:
        assert scenario is not None
        found = find_scenario(settings, scenario)
        if is_ours(found.locustfile) and (words := given & {"tags", "arguments"}):
            raise UsageError(
                f"{scenario} is a scenario of the lab: it has no {' and no '.join(sorted(words))}",
                mend="leave them out, or name a locustfile of your own",
            )
        return replace(found, given=given, **more)
    if not locustfile.exists():
        raise UsageError(f"there is no locustfile {locustfile}", mend="correct the path")
    if "," in str(locustfile.resolve()):
        raise UsageError(
            f"the path of the locustfile {locustfile} has a comma, at which Locust would cut it in two",
            mend="rename it",
        )
    if settings.is_reference and not more.get("url"):
        raise UsageError(
            f"nobody says what {locustfile.name} is for",
            mend="give --url, or describe the service in adx-lab.toml (adx-lab init)",
        )
    # Somebody else's users go on for ever where nobody says how long; how many is Locust's own default.
    given |= {"duration_s", "warmup_s"}
    return LoadRequest(locustfile.stem, locustfile.resolve(), given=given, **more)
