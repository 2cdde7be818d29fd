"""A toy graph in the catalogue, its archive, and a real HTTP server to fetch it from."""

from __future__ import annotations

import contextlib
import http.server
import io
import tarfile
import time
from pathlib import Path

GRAPH = bytes(range(256)) * 400
LABELS = b"tench\ngoldfish\n"


def entry_text(
    url: str = "http://127.0.0.1:9/toy.tgz",
    archive: str = "",
    graph: str = "",
    graph_path: str = "toy/frozen_graph.pb",
    aliases: str = '["toy_alias"]',
) -> str:
    return f"""
description = "A toy"
aliases = {aliases}

[archive]
url = "{url}"
name = "toy.tgz"
{archive}

[graph]
path = "{graph_path}"
{graph}

[[labels]]
path = "toy/labels.txt"

[input]
pixel = "input:0"
image_size = [8, 16]
mean = 0
std = 255

[output]
bottleneck = "features:0"
depth = 4
"""


class Server(http.server.ThreadingHTTPServer):
    """Serves `body` at every path; the other fields make it misbehave."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = b""
        self.status = 200
        self.break_after: int | None = None
        self.knows_ranges = True
        self.tells_total = True
        self.chunked = False
        self.pause = self.between_bytes = 0.0
        self.endless = False
        self.says_length: str | None = None
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/toy.tgz"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        time.sleep(self.server.pause)
        body, status = self.server.body, self.server.status
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if not self.server.knows_ranges:
            start = 0
        if start >= len(body) > 0:
            self.send_response(416)
            if self.server.tells_total:
                self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        part = body[start:][: self.server.break_after]
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            part = b"%x\r\n" % len(body) + part
        else:
            length = self.server.says_length or str(len(body) - start)
            if not self.server.endless:
                self.send_header("Content-Length", length)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(ConnectionError):  # whoever asked has seen enough
            self._send(part)

    def _send(self, part: bytes) -> None:
        while self.server.endless:
            self.wfile.write(bytes(1 << 16))
        if not self.server.between_bytes:
            self.wfile.write(part)
            return
        for one in part:
            self.wfile.write(bytes([one]))
            time.sleep(self.server.between_bytes)

    def log_message(self, *args: object) -> None:
        pass


def archive_of(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


TOY = archive_of(("./toy/frozen_graph.pb", GRAPH), ("./toy/labels.txt", LABELS), ("more", b"x"))


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


def describe(own: Path, server: Server, archive: str = "", graph: str = "") -> None:
    (own / "toy.toml").write_text(entry_text(server.url, archive, graph))
