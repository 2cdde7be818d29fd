"""Files that are called like images and must not be read: they wait, or never end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from retrain_tools.images.decode import ImageError, read_image


def reason(path: Path, **more: int) -> str:
    with pytest.raises(ImageError) as raised:
        read_image(path, **more)
    return str(raised.value)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    assert reason(tmp_path / "x.jpg") == "cannot be read: it is a named pipe"


def test_a_device_and_a_link_to_it_are_not_read(tmp_path):
    (tmp_path / "x.jpg").symlink_to("/dev/zero")
    assert reason(tmp_path / "x.jpg") == "cannot be read: it is a device"
    assert reason(Path("/dev/zero")) == "cannot be read: it is a device"


def test_a_socket_is_not_read(tmp_path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "x.jpg"))
        assert reason(tmp_path / "x.jpg") == "cannot be read: it is a socket"


def test_a_file_that_no_image_can_fill_is_not_read(tmp_path):
    with (tmp_path / "x.jpg").open("wb") as file:
        file.truncate(40 << 30)
    assert reason(tmp_path / "x.jpg") == (
        "cannot be read: it has 42,949,672,960 bytes, and 732,605,096 are the most"
    )
    assert "16,785,216 are the most" in reason(tmp_path / "x.jpg", max_pixels=1000)
