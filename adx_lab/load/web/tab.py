"""The lab's tab in Locust's web page: budgets, where the time goes, who answered look-ups, pool and memory.

Locust's own extended tabs show tables only, so that the tab's content is a page of ours in a frame. The page
needs nothing from the network. What a browser may ask of Locust is narrowed as well: as it comes, any web
site that somebody visits meanwhile could start and stop tests here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request, send_from_directory

from adx_lab import clock
from adx_lab.load.process.session import Session, listeners
from adx_lab.load.recording.rows import EXCEPTION, Row
from adx_lab.load.recording.server_timing import ServerSplit, parse
from adx_lab.load.web.budgets import COLUMN, LiveBudget, Window, live_budgets
from adx_lab.load.web.failed import Failed
from adx_lab.load.web.vitals import read_stored, read_vitals
from adx_lab.settings import read_settings

KEY, TITLE = "adx", "ADX Lab"
PARTS = ("client", "service", "pool", "database", "cache")
_FOLDER = Path(__file__).parent
_SPLITS_A_BEAT = 300
"""Headers taken apart each second: enough for a mean, and no work that the load would feel."""

_BEATS_SHOWN = 15


@dataclass
class _Endpoint:
    """The requests of one endpoint in one beat; parts in milliseconds, summed over those taken apart."""

    count: int = 0
    split: int = 0
    latency_ms: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))


class TabView:
    """What the tab shows of the test that runs, or of the last one."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._budgets: tuple[LiveBudget, ...] = ()
        self._window = Window()
        self._failed = Failed()
        self._beats: deque[dict[str, _Endpoint]] = deque(maxlen=_BEATS_SHOWN)
        self._vitals: dict[str, Any] = {}

    def watch(self, session: Session, recorder: Any) -> None:
        """Begin anew with a test's record."""
        self._session = session
        self._budgets = live_budgets(session.order.budget_file, session.order.scenario)
        self._window = Window()
        self._failed = Failed()
        self._beats.clear()
        self._vitals = {}
        recorder.watchers.append(self._add)

    def document(self) -> dict[str, Any]:
        """Return everything that the page draws."""
        session = self._session
        if session is None:
            return {"state": "waiting"}
        if Path(session.order.raw_dir).is_dir():  # the companion removes it when the run is stored
            self._vitals = read_vitals(Path(session.order.raw_dir))
        return {
            "state": "over" if session.ending else "running",
            "run": read_stored(Path(session.order.raw_dir)),
            "scenario": session.order.scenario,
            "schedule": session.schedule.describe(),
            "requests": self._window.count,
            "errors": self._window.errors,
            "budgets": [asdict(result) for result in self._window.judge(self._budgets)],
            "endpoints": self._endpoints(),
            "failed": self._failed.shown(),
            "now": clock.now(),
            **self._vitals,
        }

    def _add(self, rows: Sequence[Row]) -> None:
        self._failed.add(rows)
        go = self._session.go if self._session is not None else None
        if go is None or not go.ready():
            return  # logins and the like: the load has not begun
        rows = [row for row in rows if _timed(row) and row[COLUMN["t_intended"]] >= go.get()]
        self._window.add(rows)
        beat: dict[str, _Endpoint] = {}
        every = max(1, len(rows) // _SPLITS_A_BEAT)
        for number, row in enumerate(rows):
            endpoint = beat.setdefault(row[COLUMN["endpoint"]], _Endpoint())
            endpoint.count += 1
            if number % every == 0:
                split = parse(row[COLUMN["timing"]])
                self._window.add_queries(split.queries)
                _count(endpoint, row, split)
        self._beats.append(beat)

    def _endpoints(self) -> list[dict[str, Any]]:
        """Return the mean split of each endpoint over the last beats, the most asked first."""
        names = {name for beat in self._beats for name in beat}
        shown = []
        for name in names:
            seen = [beat[name] for beat in self._beats if name in beat]
            split = sum(item.split for item in seen)
            if split:
                shown.append(
                    {
                        "endpoint": name,
                        "rate_per_s": sum(item.count for item in seen) / len(self._beats),
                        "latency_ms": sum(item.latency_ms for item in seen) / split,
                        **{part: sum(item.parts[part] for item in seen) / split for part in PARTS},
                    }
                )
        return sorted(shown, key=lambda item: -item["rate_per_s"])


def add_tab(environment: Any) -> None:
    """Add the tab to Locust's web page, and narrow who may use the page."""
    web_ui, view = environment.web_ui, TabView()
    listeners.append(view.watch)
    web_ui.template_args["extended_tabs"] = [{"title": TITLE, "key": KEY}]
    pages = Blueprint("adx", __name__, url_prefix="/adx")

    @pages.route("/")
    def page() -> Response:
        return _file("tab.html", "text/html")

    @pages.route("/tab.js")
    def script() -> Response:
        return _file("tab.js", "text/javascript")

    @pages.route("/live")
    def live() -> Response:
        runner = environment.runner
        return jsonify({"users": 0 if runner is None else runner.user_count, **view.document()})

    @pages.route("/report/<path:name>")
    def report(name: str) -> Response:
        return send_from_directory(read_settings().reports_dir, name)

    app = web_ui.app
    app.register_blueprint(pages)
    app.debug = False
    app.after_request_funcs.clear()  # Locust's own lets every web site read what we answer
    app.before_request(_refuse_strangers)
    app.after_request(_add_script)


def _file(name: str, kind: str) -> Response:
    return Response((_FOLDER / name).read_text(encoding="utf-8"), mimetype=kind)


def _refuse_strangers() -> tuple[str, int] | None:
    """Refuse what a page of another origin sends, and names that only pretend to be this machine."""
    host = request.host
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "another origin", 403
    name = urlsplit(f"//{host}").hostname
    if request.remote_addr in {"127.0.0.1", "::1"} and name not in {"127.0.0.1", "::1", "localhost"}:
        return "not a name of this machine", 403
    return None


def _add_script(response: Response) -> Response:
    if request.path == "/" and response.mimetype == "text/html":
        page = response.get_data(as_text=True)
        response.set_data(page.replace("</body>", '<script src="./adx/tab.js"></script></body>'))
    return response


def _timed(row: Row) -> bool:
    """Tell whether a row is a request whose times are numbers, whatever somebody's event said."""
    times = (row[COLUMN[name]] for name in ("t_intended", "t_sent", "service_ms"))
    return row[COLUMN["kind"]] != EXCEPTION and all(isinstance(ms, int | float) for ms in times)


def _count(endpoint: _Endpoint, row: Row, split: ServerSplit) -> None:
    latency_ms = (row[COLUMN["t_sent"]] - row[COLUMN["t_intended"]]) * 1000 + row[COLUMN["service_ms"]]
    endpoint.split += 1
    endpoint.latency_ms += latency_ms
    for part, ms in _parts(latency_ms, split).items():
        endpoint.parts[part] += ms


def _parts(latency_ms: float, split: ServerSplit) -> Mapping[str, float]:
    """Return where one request's time went; all of it is the client's where the service does not say."""
    if split.server_ms != split.server_ms:  # NaN
        return {"client": latency_ms}
    known = split.db_ms + split.valkey_ms + split.pool_ms
    return {
        "client": max(0.0, latency_ms - split.server_ms),
        "service": max(0.0, split.server_ms - known),
        "pool": split.pool_ms,
        "database": split.db_ms,
        "cache": split.valkey_ms,
    }
