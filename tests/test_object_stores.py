"""What stores behind URIs do: servers that fail, objects that change, missing buckets."""

from __future__ import annotations

import errno
import http.server
import threading
from urllib.parse import unquote

import pytest

from retrain_tools import object_stores, storage


@pytest.fixture
def no_waits(monkeypatch):
    monkeypatch.setattr(storage, "_WAITS", (0.0, 0.0))


class _Shelf(http.server.BaseHTTPRequestHandler):
    """A web server: /fails/N answers 503 N times, /status/N that status, else the path is sent."""

    left: dict[str, int] = {}  # noqa: RUF012 - shared by all requests, each test has paths of its own
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        _Shelf.asked.append(self.path)
        what, number = ([*self.path.partition("?")[0].strip("/").split("/"), "0"])[:2]
        if what == "fails" and _Shelf.left.setdefault(self.path, int(number)) > 0:
            _Shelf.left[self.path] -= 1
            return self._send(503)
        return self._send(int(number)) if what == "status" else self._send(200)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status):
        data = unquote(self.path).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    pytest.importorskip("aiohttp", reason="needs aiohttp: pip install aiohttp")
    pytest.importorskip("fsspec", reason="needs fsspec: pip install fsspec")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shelf)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_fails_for_a_moment_is_asked_again(web, no_waits):
    assert storage.read(f"http://{web}/fails/2") == b"/fails/2"


def test_a_server_that_goes_on_failing_is_given_up_and_no_credential_is_told(web, no_waits):
    uri = f"http://me:word@{web}/fails/99?sig=secret"
    with pytest.raises(OSError, match="status 503") as error:
        storage.read(uri)
    shown = f"http://***@{web}/fails/99?***"
    assert str(error.value) == f"[Errno 5] the server answered with status 503: {shown!r}"
    assert len([path for path in _Shelf.asked if path.startswith("/fails/99")]) <= 9


@pytest.mark.parametrize(("status", "kind"), [(404, FileNotFoundError), (403, PermissionError)])
def test_what_a_server_refuses_is_asked_once(web, status, kind):
    uri = f"http://{web}/status/{status}"
    with pytest.raises(kind):
        storage.read(uri)


def test_nothing_is_written_to_a_web_page(web):
    with pytest.raises(OSError, match="nothing can be written") as error:
        storage.delete(f"http://{web}/x")
    assert error.value.errno == errno.EROFS


def test_nobody_there_is_an_error_of_reading(no_waits):
    pytest.importorskip("aiohttp", reason="needs aiohttp: pip install aiohttp")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1/x"):
        storage.read("http://127.0.0.1:1/x")


def test_an_object_that_changes_while_it_is_read_is_read_again(bucket, monkeypatch, no_waits):
    place = f"{bucket}/a.jpg"
    storage.write(place, b"one")
    contents = [b"two", b"six"]
    real = object_stores.Opened._entry

    def change_after_a_look(self, info):
        entry = real(self, info)
        if contents:
            storage.write(place, contents.pop(0))
        return entry

    monkeypatch.setattr(object_stores.Opened, "_entry", change_after_a_look)
    assert storage.read(place) == b"six"
    contents += [b"1", b"2", b"3"]
    with pytest.raises(OSError, match="it changed while it was read") as error:
        storage.read(place)
    assert (error.value.errno, error.value.filename) == (errno.ESTALE, place)


def test_objects_with_empty_parts_in_their_names_are_left_out_with_a_line(bucket, caplog):
    import s3fs

    for key in ("photos/1.jpg", "photos/", "photos//2.jpg"):  # the second marks a folder
        name = bucket.removeprefix("s3://")
        s3fs.S3FileSystem().call_s3("put_object", Bucket=name, Key=key, Body=b"x")
    assert [one.uri for one in storage.walk(bucket)] == [f"{bucket}/photos/1.jpg"]
    assert f"{bucket}/photos: objects with // in their names are left out" in caplog.text


def test_a_bucket_that_is_not_there(bucket):
    with pytest.raises(FileNotFoundError, match="No such file or directory: 's3://no-such-b/a'"):
        storage.read("s3://no-such-b/a")
    with pytest.raises(FileNotFoundError):
        storage.write("s3://no-such-b/a", b"x")


def test_a_store_that_is_too_busy_is_an_error_of_reading(monkeypatch, no_waits):
    pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs")
    from botocore.exceptions import NoCredentialsError

    calls = []

    def busy(self):
        calls.append(self.uri)
        raise NoCredentialsError if "nobody" in self.uri else OSError(errno.EBUSY, "Slow down.")

    monkeypatch.setattr(object_stores.Opened, "look", busy)
    with pytest.raises(OSError, match="Slow down: 's3://b/x'"):
        storage.stat("s3://b/x")
    assert len(calls) == 3
    with pytest.raises(OSError, match="Unable to locate credentials: 's3://nobody/x'"):
        storage.stat("s3://nobody/x")
