"""A service without a database, on Python's own HTTP server: ``python service.py PORT``."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROUNDS = int(os.environ.get("ROUNDS", "300"))


class Handler(BaseHTTPRequestHandler):
    """Answers two paths."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say hello, or work a little for it."""
        words = {"hello": "world"}
        if self.path.startswith("/digest"):
            digest = b""
            for _ in range(ROUNDS):
                digest = hashlib.sha256(digest).digest()
            words = {"digest": digest.hex()}
        body = json.dumps(words).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
