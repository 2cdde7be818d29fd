"""Rows of stored arrays, whole and in parts, compressed or not; and files that are damaged."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.array_files import DAMAGE, open_npy, open_npz

X = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_of_an_archive_are_those_of_its_array(save, tmp_path) -> None:
    save(tmp_path / "a.npz", X, other=X.reshape(9, -1).astype(np.float32))
    arrays = open_npz(tmp_path / "a.npz")
    assert set(arrays) == {"arr_0", "other"}
    found = arrays["arr_0"]
    assert (found.shape, found.dtype, len(found)) == (X.shape, np.uint8, 9)
    np.testing.assert_array_equal(found[2:7], X[2:7])
    np.testing.assert_array_equal(found[7:70], X[7:])
    np.testing.assert_array_equal(found[-1], X[-1])
    np.testing.assert_array_equal(found[np.array([5, 0, 5])], X[[5, 0, 5]])
    np.testing.assert_array_equal(found.reshaped()[1:3], X.reshape(9, -1)[1:3])
    np.testing.assert_array_equal(arrays["other"][:], X.reshape(9, -1).astype(np.float32))
    with pytest.raises(IndexError):
        found[9]


def test_rows_of_a_file_are_those_of_its_array(tmp_path) -> None:
    np.save(tmp_path / "a.npy", X.astype(">f4"))
    found = open_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found[3:5], X[3:5])


def test_arrays_that_cannot_be_read_row_by_row_are_left_out(tmp_path) -> None:
    odd = {"order": np.asfortranarray(np.ones((3, 2))), "objects": np.array([{}, None])}
    np.savez(tmp_path / "a.npz", fine=np.ones(3), **odd)
    assert list(open_npz(tmp_path / "a.npz")) == ["fine"]
    np.save(tmp_path / "a.npy", odd["order"])
    with pytest.raises(ValueError, match="Fortran"):
        open_npy(tmp_path / "a.npy")


def test_files_that_are_cut_off_are_damaged(tmp_path) -> None:
    np.save(tmp_path / "a.npy", X)
    whole = (tmp_path / "a.npy").read_bytes()
    for end in (5, 40, len(whole) - 1):
        (tmp_path / "b.npy").write_bytes(whole[:end])
        with pytest.raises(DAMAGE):
            open_npy(tmp_path / "b.npy")
    (tmp_path / "b.npz").write_bytes(whole)
    with pytest.raises(DAMAGE):
        open_npz(tmp_path / "b.npz")


def test_what_an_archive_unpacks_goes_with_its_array(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    np.savez_compressed(tmp_path / "a.npz", X)
    found = open_npz(tmp_path / "a.npz")["arr_0"]
    assert not list((tmp_path / "temporary").iterdir())
    np.testing.assert_array_equal(found[0], X[0])
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    del found
    assert not list((tmp_path / "temporary").iterdir())
