"""``adx-lab lab``: JupyterLab on the notebooks, with the stack up."""

from __future__ import annotations

import asyncio
import os
import sys
import webbrowser
from pathlib import Path

from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.errors import StackError
from adx_lab.ports import is_free, require_free
from adx_lab.settings import Settings, read_settings
from adx_lab.stack.jupyter import JupyterLab, require_notebooks, start_jupyter

_USUAL_PORT = 8888


def run(*, port: int | None = None, no_browser: bool = False, json: bool = False) -> int:
    """Open JupyterLab on the notebooks, with the stack up and Locust's page in the launcher.

    It is served on this machine only, to whoever has the token in the URL that is printed. It ends with
    Ctrl-C, and the stack with it if it was started for it.

    Parameters
    ----------
    port
        Where it is served; 0 takes a free port. Left out: 8888, or a free one where that is taken.
    no_browser
        Open no browser; none is opened either where there is no display.
    json
        Print the URL, the token and the process ids as one JSON document.
    """
    settings = read_settings()
    if port is None:
        port = _USUAL_PORT if is_free(_USUAL_PORT) else 0
    require_free(port)
    require_notebooks(settings)
    try:
        asyncio.run(_hold(settings, port, browse=not no_browser and _has_display(), json=json))
    except KeyboardInterrupt:
        sys.stderr.write("\nadx-lab: stopped\n")
    return 0


async def _hold(settings: Settings, port: int, *, browse: bool, json: bool) -> None:
    from adx_lab.conduct.run.surroundings import surroundings

    progress = ConsoleProgress()
    async with surroundings(settings, progress):
        progress.step("starting JupyterLab")
        log = settings.data_dir / "logs" / "jupyterlab.log"
        jupyter = await start_jupyter(settings, port=port, log=log)
        try:
            _show(jupyter, settings, json=json)
            progress.step("JupyterLab is ready; Ctrl-C ends it")
            if browse:
                await asyncio.to_thread(webbrowser.open, jupyter.browser_file.as_uri())
            await _until_it_ends(jupyter, log)
        finally:
            progress.step("stopping JupyterLab")
            await jupyter.stop()


async def _until_it_ends(jupyter: JupyterLab, log: Path) -> None:
    status = await asyncio.to_thread(jupyter.child.process.wait)
    if status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        raise StackError(f"JupyterLab {how}", log=log)


def _show(jupyter: JupyterLab, settings: Settings, *, json: bool) -> None:
    if not json:
        print(jupyter.url, flush=True)
        return
    print_json(
        {
            "url": jupyter.url,
            "base_url": jupyter.base_url,
            "token": jupyter.token,
            "pid": os.getpid(),
            "jupyter_pid": jupyter.child.pid,
            "notebooks": settings.notebooks_dir,
            "log": jupyter.child.log,
        }
    )
    sys.stdout.flush()


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
