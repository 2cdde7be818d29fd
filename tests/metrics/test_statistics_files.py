"""Files of statistics: those of others, ours, damaged ones, and those of another network."""

from __future__ import annotations

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.metrics.moments import moments
from retrain_tools.metrics.network import FEATURES, SPATIAL
from retrain_tools.metrics.statistics_files import (
    doubts_about,
    read_statistics,
    write_statistics,
)

from .vectors import frechet_by_scipy, like_features

X, Y = like_features(300, 16, 0), like_features(400, 16, 1, 0.1)
MOMENTS = moments(X)


def test_what_ttur_and_pytorch_fid_write_is_read_as_it_is(tmp_path) -> None:
    np.savez(tmp_path / "ttur.npz", mu=MOMENTS.mean, sigma=MOMENTS.covariance)
    np.savez_compressed(tmp_path / "torch.npz", mu=Y.mean(axis=0), sigma=np.cov(Y, rowvar=False))
    found = rt.evaluate_images(tmp_path / "ttur.npz", tmp_path / "torch.npz")
    assert found.scores["fid"].value == pytest.approx(frechet_by_scipy(X, Y), rel=1e-5)
    assert list(found.scores) == ["fid"]
    assert found.notes == []
    assert found.reference.count is None
    with_samples = rt.evaluate_images(tmp_path / "ttur.npz", Y)
    assert with_samples.scores["fid"].value == pytest.approx(frechet_by_scipy(X, Y), rel=1e-9)


def test_what_is_written_has_the_arrays_of_all_and_a_note(tmp_path) -> None:
    both = {FEATURES: MOMENTS, SPATIAL: moments(Y)}
    write_statistics(tmp_path / "s.npz", both, {"images": 300})
    with np.load(tmp_path / "s.npz") as arrays:  # as others do
        assert set(arrays.files) == {"mu", "sigma", "mu_s", "sigma_s", "retrain_tools"}
        np.testing.assert_array_equal(arrays["sigma"], MOMENTS.covariance)
    found = read_statistics(tmp_path / "s.npz")
    assert found.note == {"images": 300}
    assert found.moments[FEATURES].count == 300
    np.testing.assert_array_equal(found.moments[SPATIAL].mean, both[SPATIAL].mean)


@pytest.mark.parametrize(
    ("mu", "sigma", "said"),
    [
        (np.zeros(3), np.eye(2), "holds no statistics: 'mu' is [3] and 'sigma' [2, 2], which"),
        (np.zeros((1, 3)), np.eye(3), "holds no statistics: 'mu' is [1, 3] and 'sigma' [3, 3]"),
        (np.array([0, np.inf]), np.eye(2), "holds statistics that are not finite numbers."),
        (np.zeros(2), np.array([[1, 0.5], [0, 1]]), "is damaged: 'sigma' is not symmetric, and"),
        (np.zeros(2), np.diag([1.0, -1.0]), "is damaged: 'sigma' has variances below 0."),
    ],
)
def test_what_is_no_statistics_is_refused(mu, sigma, said, tmp_path) -> None:
    np.savez(tmp_path / "s.npz", mu=mu, sigma=sigma)
    with pytest.raises(InputError) as error:
        read_statistics(tmp_path / "s.npz")
    assert str(error.value).startswith(f"{tmp_path / 's.npz'} {said}")


def test_what_cannot_be_read_is_named(tmp_path) -> None:
    (tmp_path / "s.npz").write_bytes(b"PK")
    with pytest.raises(InputError) as error:
        read_statistics(tmp_path / "s.npz")
    assert str(error.value).startswith(f"{tmp_path / 's.npz'} cannot be read as statistics: ")
    np.savez(tmp_path / "s.npz", mu=np.zeros(2))
    with pytest.raises(InputError) as error:
        read_statistics(tmp_path / "s.npz")
    assert "sigma" in str(error.value)


def test_statistics_of_another_network_or_resize_are_doubted(tmp_path) -> None:
    path = tmp_path / "cifar10_clean_train.npz"
    np.savez(path, mu=MOMENTS.mean, sigma=MOMENTS.covariance)
    [said] = doubts_about(path, read_statistics(path), None)
    assert said == (
        f"{path} has the name of clean-fid's statistics of images resized by Pillow, bicubic and "
        "averaged where they shrink: not what the graph does."
    )
    torch = tmp_path / "cifar10_legacy_pytorch_train.npz"
    assert "half-pixel" in doubts_about(torch, read_statistics(path), None)[0]
    plain = tmp_path / "cifar10_legacy_tensorflow_train.npz"
    assert doubts_about(plain, read_statistics(path), None) == []
    np.savez(path, mu=MOMENTS.mean - 1, sigma=MOMENTS.covariance)
    [said] = doubts_about(plain, read_statistics(path), None)
    assert "has features with a mean below 0 (-" in said
    write_statistics(path, {FEATURES: MOMENTS}, {"fingerprint": "a" * 64})
    assert doubts_about(path, read_statistics(path), "a" * 64) == []
    assert doubts_about(path, read_statistics(path), None) == []
    assert doubts_about(path, read_statistics(path), "b" * 64) == [
        f"{path} was made by another graph (aaaaaaaaaaaa…, not bbbbbbbbbbbb…): the distance is of "
        "networks as much as of images."
    ]


def test_statistics_of_another_depth_are_refused(tmp_path) -> None:
    np.savez(tmp_path / "s.npz", mu=np.zeros(64), sigma=np.eye(64))
    with pytest.raises(InputError) as error:
        rt.evaluate_images(tmp_path / "s.npz", Y)
    said = "The features are not of one network: 64 of one set, 16 of the other."
    assert str(error.value) == said
