"""The figures are those of their definitions, worked out in other ways."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from retrain_tools.comparing.differences import comparable, differences
from retrain_tools.explaining.similarity import as_vectors, cka, probe

RNG = np.random.default_rng(0)
A = RNG.normal(size=(12, 7)).astype(np.float32)
B = (A + RNG.normal(0, 0.5, size=A.shape)).astype(np.float32)


def test_differences_by_image_and_by_channel() -> None:
    found = differences(A, B, ("a", "b"))
    gap = np.abs(A.astype(np.float64) - B)
    assert found.mean == pytest.approx(sum(gap.ravel().tolist()) / 84)
    assert found.largest == max(gap.ravel().tolist())
    np.testing.assert_allclose(found.by_image, [sum(row) / 7 for row in gap.tolist()])
    np.testing.assert_allclose(found.by_channel, [sum(column) / 12 for column in gap.T.tolist()])
    np.testing.assert_allclose(found.largest_by_image, [max(row) for row in gap.tolist()])
    assert found.correlation == pytest.approx(np.corrcoef(A.ravel(), B.ravel())[0, 1])
    by_channel = [np.corrcoef(A[:, n], B[:, n])[0, 1] for n in range(7)]
    np.testing.assert_allclose(found.correlation_by_channel, by_channel)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(A, B, strict=True)]
    np.testing.assert_allclose(found.cosine_by_image, cosines, rtol=1e-5)
    assert found.mean_cosine == pytest.approx(np.mean(cosines), rel=1e-5)
    assert found.least_cosine == pytest.approx(min(cosines), rel=1e-5)
    assert found.worst_images(2) == sorted(range(12), key=lambda row: -sum(gap[row]))[:2]
    assert found.worst_channels(2) == sorted(range(7), key=lambda one: -sum(gap[:, one]))[:2]
    assert (found.tensor_a, found.tensor_b, found.images, found.sampled) == ("a", "b", 12, 12)
    assert (found.shape_a, found.compared, found.probe) == ((7,), "", None)


@pytest.mark.parametrize(("factor", "agrees"), [(0.99, True), (1.01, False)])
def test_agreement_is_of_every_value_by_the_spread_of_a(factor, agrees) -> None:
    other = A.astype(np.float64)
    other[5, 3] += factor * 1e-3 * A.std(dtype=np.float64)
    found = differences(A, other.astype(np.float32), tolerance=1e-3)
    assert found.agrees is agrees
    assert found.tolerance == pytest.approx(1e-3 * A.std(), rel=1e-5)


def test_maps_are_compared_with_vectors_by_what_they_share() -> None:
    maps = RNG.normal(size=(5, 2, 3, 4)).astype(np.float32)
    vectors = np.stack([one.reshape(6, 4).mean(axis=0) for one in maps])
    found = differences(maps, vectors)
    assert found.compared == "A averaged over its 2×3 places"
    assert found.mean == pytest.approx(0, abs=1e-7)
    assert not found.agrees  # another shape is a difference
    assert differences(vectors, maps).compared == "B averaged over its 2×3 places"
    flat = maps.reshape(5, 24)
    found = differences(maps, flat)
    assert (found.compared, found.mean, found.agrees) == ("both flattened", 0.0, False)
    done, one, other = comparable(maps, vectors[:, :3])
    assert (done, one, other) == ("values cannot be compared: the depths differ", None, None)
    np.testing.assert_allclose(as_vectors(maps), vectors, atol=1e-6)


def test_depths_that_differ_leave_what_needs_no_common_depth() -> None:
    turn = np.linalg.qr(RNG.normal(size=(9, 9)))[0][:7].astype(np.float32)
    found = differences(A, A @ turn, labels=list("aaabbbaaabbb"))  # the same but turned: [12, 9]
    assert found.compared == "values cannot be compared: the depths differ"
    assert (found.mean, found.largest, found.correlation, found.mean_cosine) == (None,) * 4
    assert found.nearest_agreement == 1
    assert found.cka == pytest.approx(1)
    assert found.probe is not None
    assert (found.probe.a_on_b, found.probe.b_on_a) == (None, None)
    assert found.worst_images(3) == []
    assert not found.agrees


def test_constant_features_have_no_correlation() -> None:
    same = np.ones((6, 3), np.float32)
    found = differences(same, same)
    assert found.agrees
    assert (found.correlation, found.cka) == (None, None)
    zeros = differences(np.zeros((6, 3), np.float32), same)
    assert (zeros.mean_cosine, zeros.mean) == (None, 1.0)
    assert np.isnan(zeros.cosine_by_image).all()


def test_a_value_for_each_image_is_a_vector_of_one() -> None:
    found = differences(A[:, 0], A[:, 0] + 1)
    assert found.mean == pytest.approx(1)
    assert len(found.by_channel) == 1


def u_centred(values: np.ndarray) -> np.ndarray:
    """Székely and Rizzo (2014), the other way to the unbiased estimator: by its definition."""
    kernel = values.astype(np.float64) @ values.T.astype(np.float64)
    np.fill_diagonal(kernel, 0)
    n = len(kernel)
    rows = kernel.sum(axis=1, keepdims=True) / (n - 2)
    centred = kernel - rows - rows.T + kernel.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def test_cka_is_the_debiased_one() -> None:
    one, other = u_centred(A), u_centred(B)
    wanted = (one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum())
    assert cka(A, B) == pytest.approx(wanted, rel=1e-9)
    turn = np.linalg.qr(RNG.normal(size=(7, 7)))[0].astype(np.float32)
    assert cka(A, 3 * A @ turn + 5) == pytest.approx(1, abs=1e-5)
    assert cka(A[:3], B[:3]) is None


def test_cka_of_independent_features_is_near_nothing_though_there_are_few_images() -> None:
    """The biased one would be 0.99 for them."""
    a, b = (RNG.normal(size=(20, 2000)).astype(np.float32) for _ in range(2))
    assert abs(cka(a, b) or 1) < 0.1


def test_the_probe_is_ridge_regression_on_every_other_image_of_a_class() -> None:
    rng = np.random.default_rng(1)
    labels = [str(n) for n in rng.integers(0, 3, 60)]
    centres = rng.normal(size=(3, 10))
    a = np.stack([centres[int(label)] for label in labels]) + rng.normal(0, 1.5, (60, 10))
    b = a * rng.uniform(0.2, 3, 10) + rng.normal(0, 1, (60, 10))
    a, b = a.astype(np.float32), b.astype(np.float32)
    labels[7] = ""
    labels[8] = "alone"
    found = probe(a, b, labels)
    assert found is not None
    train, test = [], []
    for label in "012":
        rows = [row for row, one in enumerate(labels) if one == label]
        train += rows[::2]
        test += rows[1::2]
    truth = np.array([int(label) if label in "012" and label else -1 for label in labels])
    accuracies = {}
    for name, side in (("a", a), ("b", b)):
        scaler = StandardScaler().fit(side[train])
        head = Ridge(alpha=10.0).fit(scaler.transform(side[train]), np.eye(3)[truth[train]])
        for other, values in (("a", a), ("b", b)):
            given = head.predict(scaler.transform(values[test])).argmax(axis=1)
            accuracies[name + other] = (given == truth[test]).mean()
    assert (found.a, found.b) == (accuracies["aa"], accuracies["bb"])
    assert (found.a_on_b, found.b_on_a) == (accuracies["ab"], accuracies["ba"])
    assert (found.images, found.classes) == (len(test), 3)
    assert 0.4 < found.a < 1  # a test in which no answer is the trivial one
    assert found.a_on_b != found.b


def test_without_two_classes_there_is_no_probe() -> None:
    assert probe(A, B, ["a"] * 12) is None
    assert probe(A, B, [*("a" * 11), "b"]) is None
    assert probe(A, B, []) is None


def test_large_sets_are_sampled_for_what_is_computed_of_all_pairs() -> None:
    values = RNG.normal(size=(2500, 2)).astype(np.float32)
    found = differences(values, values)
    assert (found.images, found.sampled, found.nearest_agreement) == (2500, 2000, 1)
    assert found.cka == pytest.approx(1)


def test_many_images_are_computed_in_pieces_that_change_nothing(monkeypatch) -> None:
    from retrain_tools.comparing import differences as module

    maps = RNG.normal(size=(9, 2, 3, 4)).astype(np.float32)
    other = maps + RNG.normal(size=maps.shape).astype(np.float32)
    whole = differences(maps, other)
    monkeypatch.setattr(module, "_PIECE_VALUES", 50)  # two images, and a few places of a channel
    pieces = differences(maps, other)
    np.testing.assert_allclose(whole.by_channel, np.abs(maps - other).mean((0, 1, 2)), rtol=1e-5)
    for name in ("by_image", "by_channel", "cosine_by_image", "correlation_by_channel"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12)
    assert pieces.correlation == pytest.approx(whole.correlation, rel=1e-12)
    assert (pieces.mean, pieces.largest) == (pytest.approx(whole.mean), whole.largest)
