"""JupyterLab on the home's notebooks: a process of the lab's, in a world of its own, silent to the network.

What it keeps (settings, workspaces, history, signatures) lies in ``data/jupyter``, beside the runs, so that
nobody's ``~/.jupyter`` is read or written. Whatever would ask the network is switched off: news, updates, the
extension manager. Locust's page is a tile of the launcher, started when somebody first opens it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from adx_lab.errors import StackError, UsageError
from adx_lab.files import make_private_folder, write_whole
from adx_lab.ports import HOST
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.settings import CHECKOUT, Settings

_ICON = Path(__file__).with_name("locust.svg")
_START = "explore.ipynb"
_READY_S = 90.0
_LOCUST_READY_S = 90.0
_STOP_S = 20.0
_DRAIN_S = 75.0
"""Long enough for a load test that was started from the launcher to be stored as a run."""

_PREFERENCES = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
"""What a newcomer is not asked; whoever changes it in JupyterLab keeps the change."""


@dataclass(frozen=True, slots=True)
class JupyterLab:
    """A running JupyterLab.

    Attributes
    ----------
    base_url
        Where it is served.
    landing
        The path of the page that it opens on.
    browser_file
        A page, readable by this account only, that leads a browser in without a token on its command line.
    """

    child: Child
    base_url: str
    token: str
    landing: str
    browser_file: Path

    @property
    def url(self) -> str:
        """The address to open, with the token that lets one in."""
        return f"{self.base_url}{self.landing}?token={self.token}"

    async def stop(self) -> None:
        """Stop it, its kernels, and the load that somebody may have started there, which is stored first."""
        await stop_child(self.child, grace_s=_STOP_S, family_grace_s=_DRAIN_S)
        shutil.rmtree(self.browser_file.parent, ignore_errors=True)


async def start_jupyter(settings: Settings, *, port: int, log: Path) -> JupyterLab:
    """Start JupyterLab on 127.0.0.1 and wait until it answers to its token.

    Parameters
    ----------
    settings
        Whose notebooks, and what the kernels are told.
    port
        Where it is served; 0 takes a free port.
    log
        The file that holds what it prints.

    Raises
    ------
    UsageError
        There are no notebooks.
    StackError
        It died or did not get ready; the message quotes its log.
    """
    notebooks = require_notebooks(settings)
    folder = settings.data_dir / "jupyter"
    runtime = folder / "runtime" / str(os.getpid())
    landing = _landing(notebooks)
    token = secrets.token_hex(24)
    _prepare(folder, runtime, _config(notebooks))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--log-level=WARN"),
        *(
            f"--ServerApp.port={port}",
            f"--LabServerApp.default_url=/{landing}",
            f"--LabApp.default_url=/{landing}",
        ),
    ]
    environ = _environ(settings, folder, runtime, token)
    child = start_child("JupyterLab", command, log=log, environ=environ, cwd=folder)
    told = runtime / f"jpserver-{child.pid}.json"
    try:
        await wait_until_ready(child, told.is_file, seconds=_READY_S)
        base_url = f"http://{HOST}:{json.loads(told.read_text(encoding='utf-8'))['port']}/"
        await wait_until_ready(child, lambda: _answers(base_url, token), seconds=_READY_S)
    except BaseException:
        await stop_child(child)
        shutil.rmtree(runtime, ignore_errors=True)
        raise
    browser_file = runtime / f"jpserver-{child.pid}-open.html"
    return JupyterLab(child, base_url, token, landing, browser_file)


def require_notebooks(settings: Settings) -> Path:
    """Return the folder with the notebooks.

    Raises
    ------
    UsageError
        There is none in this home.
    """
    notebooks = settings.notebooks_dir
    if not notebooks.is_dir():
        raise UsageError(f"there is no folder {notebooks}", mend="restore it or correct ADX_LAB_HOME")
    return notebooks


def _landing(notebooks: Path) -> str:
    """Return the page to begin on: the notebook that explores, where it is there."""
    return f"lab/tree/{_START}" if (notebooks / _START).is_file() else "lab"


def _config(notebooks: Path) -> dict[str, Any]:
    """Return JupyterLab's configuration, but for what differs between two at once."""
    locust = [sys.executable, "-m", "adx_lab.processes", sys.executable, "-m", "adx_lab.cli", "ui", "mixed"]
    return {
        "ServerApp": {
            "ip": HOST,
            "port_retries": 0,
            "allow_root": True,
            "root_dir": str(notebooks),
        },
        "LabApp": {
            "extension_manager": "readonly",
            "news_url": None,
            "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        },
        "LanguageServerManager": {"autodetect": False},
        "ServerProxy": {
            "servers": {
                "locust": {
                    "command": [*(_literally(word) for word in locust), "--port", "{port}"],
                    "timeout": _LOCUST_READY_S,
                    "launcher_entry": {
                        "title": "Locust with ADX Lab",
                        "icon_path": str(_ICON),
                        "category": "Notebook",
                    },
                }
            }
        },
    }


def _literally(word: str) -> str:
    # jupyter-server-proxy formats each word, and a folder's name may hold braces.
    return word.replace("{", "{{").replace("}", "}}")


def _prepare(folder: Path, runtime: Path, config: Mapping[str, Any]) -> None:
    try:
        _sweep(runtime.parent)
        make_private_folder(runtime)
        _write(folder / "config" / "jupyter_lab_config.json", config)
        for plugin, preferences in _PREFERENCES.items():
            file = folder / "settings" / f"{plugin}.jupyterlab-settings"
            if not file.exists():
                _write(file, preferences)
    except OSError as error:
        raise StackError(f"{folder} can't be written: {error.strerror}") from error


def _sweep(runtimes: Path) -> None:
    """Remove what killed predecessors left: connection files of kernels that are gone."""
    for left in runtimes.glob("[0-9]*"):
        if left.name == str(os.getpid()) or not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left)


def _write(file: Path, document: Mapping[str, Any]) -> None:
    write_whole(file, json.dumps(document, indent=2) + "\n")


def _environ(settings: Settings, folder: Path, runtime: Path, token: str) -> dict[str, str]:
    """Return the whole environment: kernels inherit it, and so find this very package and this home."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))
    }
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return inherited | {
        "ADX_LAB_HOME": str(settings.home_dir),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "JUPYTER_TOKEN": token,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "share"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


def _answers(base_url: str, token: str) -> bool:
    asked = urllib.request.Request(f"{base_url}api/status", headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # not yet listening; the caller has a deadline
        return False
