"""A server of one file, over real HTTP: slow enough to be interrupted, and to be gone on with."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PIECE = 1 << 16  # bytes
_PAUSE = 0.004  # seconds after each


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    body = b""
    break_after: int | None = None  # bytes of one answer, after which the line is cut


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        body = self.server.body
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(asked[1]) if asked else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.close_connection = True
        most, self.server.break_after = self.server.break_after, None
        end = len(body) if most is None else min(len(body), start + most)
        with contextlib.suppress(ConnectionError):
            for place in range(start, end, _PIECE):
                self.wfile.write(body[place : min(end, place + _PIECE)])
                time.sleep(_PAUSE)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Served:
    """The file that is served.

    Attributes:
        url: its address.
    """

    def __init__(self, server: _Server, name: str) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}/{name}"

    def break_next(self, after: int) -> None:
        """Let the next answer end after some bytes."""
        self._server.break_after = after


@contextlib.contextmanager
def serving(file: Path) -> Iterator[Served]:
    """Serve a file while the block lasts."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.body = file.read_bytes()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield Served(server, file.name)
        finally:
            server.shutdown()
            thread.join()
