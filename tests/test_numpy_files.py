"""NumPy's files with headers that lie: a ValueError, and no more memory than the file has."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.engine import kept_plans
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.head import checkpoints
from retrain_tools.numpy_files import read_array, read_arrays

HEADERS = {
    "text without an end": "{'descr': '<f4, 'fortran_order': False, 'shape': (3,), }",
    "null bytes": "{'descr': '<f4', \0",
    "nested without end": "(" * 300 + ")" * 300,
    "a size that is a truth": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3), }",
    "a size below zero": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "a size beyond NumPy's": f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {9**30}), }}",
    "more than there is": f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**40},), }}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "a type that is none": "{'descr': [], 'fortran_order': None, 'shape': (3,), }",
}


def npy(header: str, values: bytes = bytes(12)) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


def npz(path: Path, members: dict[str, bytes], packed: bool = False) -> Path:
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_lies_is_a_value_error(case: str) -> None:
    data = npy(HEADERS[case])
    with pytest.raises(ValueError, match=r"header|cut off|objects"):
        read_array(io.BytesIO(data), len(data))


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("case", HEADERS)
def test_features_with_such_a_header_are_a_message(case: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f{ending}"
    data = npy(HEADERS[case])
    if ending == ".npz":
        npz(path, {"pool": data})
    else:
        path.write_bytes(data)
    with pytest.raises(InputError) as raised:
        rt.read_features(path)
    assert str(raised.value).startswith(f"{path} cannot be read as features: ")


@pytest.mark.parametrize("case", HEADERS)
def test_a_checkpoint_of_a_training_with_one_is_a_message(case: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "c.npz", {"record": npy(HEADERS[case])})
    with pytest.raises(InputError) as raised:
        checkpoints._read(path, {})
    assert str(raised.value) == (
        f"{path} cannot be read as a checkpoint of a training; remove it, or begin anew without "
        "resume."
    )


@pytest.mark.parametrize("case", HEADERS)
def test_a_kept_plan_with_one_is_made_again(case: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "p.npz", {"graph": npy(HEADERS[case])})
    made = schema.GraphDef(), {"w": np.zeros(3, np.float32)}
    assert kept_plans._read_or_make(path, lambda: made) == made


def test_a_kept_plan_whose_graph_is_none_is_made_again(tmp_path: Path) -> None:
    no_graph = np.frombuffer(b"\xff" * 9, np.uint8)
    path = tmp_path / "p.npz"
    np.savez(path, graph=no_graph)
    made = schema.GraphDef(), {}
    assert kept_plans._read_or_make(path, lambda: made) == made


def test_arrays_of_savez_come_back_and_can_be_changed(tmp_path: Path) -> None:
    held = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.zeros((0, 4), np.uint8),
        "/c": np.asfortranarray(np.arange(4).reshape(2, 2)),
    }
    np.savez(tmp_path / "a.npz", **held)  # type: ignore[arg-type]
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == held.keys()
    for name, array in found.items():
        assert array.dtype == held[name].dtype
        assert (array == held[name]).all()
    found["a"][0, 0] = 7


def test_what_unpacks_to_more_than_its_file_is_refused(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(100_000))
    path = npz(tmp_path / "a.npz", {"a": array.getvalue()}, packed=True)
    with pytest.raises(ValueError, match="claims to hold more than it has bytes"):
        read_arrays(path)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_an_archive_that_was_cut_is_a_value_error(cut: float, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(1000))
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(ValueError, match="damaged archive"):
        read_arrays(path)
