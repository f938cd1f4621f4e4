"""What a notebook's first cell calls: its parameters, checked, and the run that they name.

What is wrong is one line, in JupyterLab as in the executed notebook.
"""

from __future__ import annotations

from adx_lab.errors import UsageError
from adx_lab.records.run import Kind
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.nights.night_series import NightSeries
from adx_lab.report.notebooks.parameters import check_injected, check_type
from adx_lab.report.run.judged_run import Judgement
from adx_lab.settings import Settings, read_settings
from adx_lab.store.folders import StoredRun
from adx_lab.store.rule_costs import RuleCost, read_rule_costs
from adx_lab.store.shared import find_run

LATEST = "latest"


def open_judgement(*, run_id: str = LATEST, home: str = "") -> Judgement:
    """Return a stored load, put before the budgets.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``: the latest that is no duet.
    home
        The folder with ``data/``; empty for this checkout or ``ADX_LAB_HOME``.

    Raises
    ------
    UsageError
        A parameter is of the wrong type, there is no such run, or it is a duet.
    StoreError
        The run is damaged, or was made by a newer version.
    """
    settings = _settings(home)
    return Judgement(_open(settings, run_id, "load", "climb"), settings.budgets_file)


def open_baseline(*, run_id: str, home: str = "") -> Judgement | None:
    """Return the run that another one is compared with, or None where the parameter is empty."""
    return open_judgement(run_id=run_id, home=home) if run_id else None


def open_steps(*, run_id: str = LATEST, home: str = "") -> Judgement:
    """Return a stored load that climbed step by step; see `open_judgement`."""
    settings = _settings(home)
    return Judgement(_open(settings, run_id, "climb"), settings.budgets_file)


def open_duel(*, run_id: str = LATEST, home: str = "") -> Duel:
    """Return a stored duet; see `open_judgement`."""
    settings = _settings(home)
    return Duel(_open(settings, run_id, "duet"))


def open_history(*, scenario: str = "mixed", home: str = "") -> NightSeries:
    """Return what the run store knows of all nights of a scenario.

    Raises
    ------
    UsageError
        A parameter is of the wrong type.
    StoreError
        The store can't be opened.
    """
    check_type("scenario", scenario, str)
    return NightSeries(_settings(home), scenario)


def open_rules(*, home: str = "") -> tuple[RuleCost, ...]:
    """Return the latest result of each performance rule, in the order of the rules.

    Raises
    ------
    UsageError
        A parameter is of the wrong type, or no rule has been measured yet.
    StoreError
        The store can't be opened.
    """
    known = read_rule_costs(_settings(home))
    if not known:
        raise UsageError("no performance rule has been measured yet", mend="adx-lab rules measures them")
    return tuple(known[name] for name in sorted(known))


def _settings(home: str) -> Settings:
    check_injected()
    check_type("home", home, str)
    return read_settings(flags={"home": home or None})


def _open(settings: Settings, run_id: str, *kinds: Kind) -> StoredRun:
    check_type("run_id", run_id, str)
    return find_run(settings, run_id, *kinds)
