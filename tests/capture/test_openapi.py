"""What a service says that it can be asked, read from a real server."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from adx_lab.capture.service.openapi import read_routes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_head_beside_a_get_is_no_route_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text('{"paths": {"/a": {"get": {}, "head": {}}, "/b": {"head": {}}}}')
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            found = read_routes(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    assert found == ["GET /a", "HEAD /b"]
