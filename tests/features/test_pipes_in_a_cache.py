"""Named pipes in a stranger's cache are not waited for."""

from __future__ import annotations

import os

import pytest

from retrain_tools.features.checksums import checksums_path, read_checksums
from retrain_tools.features.fetch_record import read_record
from retrain_tools.features.manifest import manifest_path, read_manifest

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")


def test_a_pipe_for_a_manifest(tmp_path):
    path = manifest_path(tmp_path, "")
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"it is a named pipe: ") as raised:
        read_manifest(tmp_path, "")
    assert raised.value.filename == str(path)


def test_a_pipe_for_checksums_is_none(tmp_path):
    os.mkfifo(checksums_path(tmp_path, ""))
    assert read_checksums(checksums_path(tmp_path, "")) == {}


def test_a_pipe_for_the_record_of_an_output(tmp_path):
    os.mkfifo(tmp_path / "f.npz.json")
    with pytest.raises(OSError, match=r"it is a named pipe: "):
        read_record(tmp_path / "f.npz", {})
