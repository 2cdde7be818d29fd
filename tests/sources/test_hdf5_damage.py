"""Damaged HDF5 files that the HDF5 library does not survive: a message, and no hang."""

from __future__ import annotations

import base64
import gzip
import os
import time

import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.sources.readers import hdf5

# A Keras file with changes that `tests/safety/test_damage.py` found: HDF5 1.14 goes round in
# it for ever.
ENDLESS = """
H4sICLRPDWsCA21vZGVsLmg1AOv0cHHj5ZLiYgABDg4GFgYBBmTwHwoYJND4UJAApRmhdAeUXsEEE2cBy0G1A02HmK/ADOHv
gIqHBLm6IpuPbs8oGNnAw9UxAERHQPkcUPoEE6o6WDoMoJK9gtD0ip6ueRg8oPbxMYgAXZOdWpRYHF+WWlScmZ8HFJdkZATr
FIC7iQPFfWxInmBEMY8XbF5ufkpqTnxyfl5aZjoDEeYVIZnHNJpcRsEoGAVEAHdnfx9GBmjBgl4+AYGRnqGRngGiTCmC0tVK
yTmJxcXxeYm5qUpWCkrBqYWlqXklmYk5SjoKSpByCyherQRTkAsSz0msBJaQQG40un7fzLxUkAokHRVKtbWxtbWo7g3gH42z
UTAKRsEoGAWjYBSMglEwCkbBKBgFo2AUDEEAALiNAjWFGQAA
"""


@pytest.fixture
def endless(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(gzip.decompress(base64.b64decode(ENDLESS)))
    return path


def test_a_file_that_the_library_reads_without_end_is_given_up(endless, monkeypatch):
    monkeypatch.setattr(hdf5, "_MOST_SECONDS", 2.0)
    start = time.monotonic()
    with pytest.raises(InputError) as raised:
        rt.load(endless)
    assert time.monotonic() - start < 60
    message = str(raised.value)
    assert message.startswith(f"{endless} is damaged")
    assert message.endswith("download or copy it again.")


def test_a_crash_of_the_library_is_a_message(tmp_path, monkeypatch):
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setattr(hdf5, "_WALK", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(InputError) as raised:
        rt.load(path)
    assert str(raised.value) == (
        f"{path} is damaged: reading it crashes the HDF5 library; download or copy it again."
    )


def test_a_file_is_tried_once_and_again_when_it_changed(tmp_path):
    path = tmp_path / "a.h5"
    with hdf5.h5py().File(path, "w") as file:
        file["x"] = [1.0, 2.0]
    hdf5._outcome.cache_clear()
    for _ in range(3):
        assert hdf5.read_array(path, "x", "it").tolist() == [1.0, 2.0]
    assert hdf5._outcome.cache_info().misses == 1
    os.utime(path, (1, 1))
    hdf5.read_array(path, "x", "it")
    assert hdf5._outcome.cache_info().misses == 2


def test_a_file_of_features_that_is_read_without_end_is_given_up(endless, monkeypatch):
    monkeypatch.setattr(hdf5, "_MOST_SECONDS", 2.0)
    with pytest.raises(InputError) as raised:
        rt.read_features(endless)
    assert str(raised.value) == (
        f"{endless} cannot be read as features: it is damaged: reading it takes more than 2 s."
    )


def test_an_array_that_claims_gigabytes_is_a_message(tmp_path):
    path = tmp_path / "a.h5"
    with hdf5.h5py().File(path, "w") as file:
        file.create_dataset("x", (1 << 18, 1 << 11), "float32")  # without values, of no size
        file.create_dataset("y", (1 << 12, 1 << 11), "float32")
    size = path.stat().st_size
    assert hdf5.read_array(path, "y", "it").shape == (1 << 12, 1 << 11)
    with pytest.raises(InputError) as raised:
        hdf5.read_array(path, "x", "it")
    assert str(raised.value) == (
        f"it is damaged or cut off: its {size:,} bytes claim to hold 2,147,483,648 bytes of 'x'; "
        "download or copy it again."
    )
