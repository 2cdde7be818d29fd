"""A real object store on this machine: moto's S3 server, and a bucket in it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def s3_server() -> Iterator[None]:
    """Run a server that S3 clients of this process and its children find by their environment."""
    for package in ("s3fs", "moto", "flask"):
        pytest.importorskip(
            package, reason="no object store: pip install 'moto[server]' s3fs brings one"
        )
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "never-shown",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield
    finally:
        server.stop()


def new_bucket() -> str:
    """Make an empty bucket in the server, and return its URI."""
    import s3fs

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
