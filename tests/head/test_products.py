"""Products in pieces are those of the whole matrices, to the rounding of float32."""

import numpy as np
import pytest

from retrain_tools.head.products import product, product_of_transposed

SIZES = [
    (100, 2048, 10),  # a step with the usual head: three pieces
    (100, 2048, 21),  # pieces that are not equal
    (100, 2048, 500),  # too many classes for pieces
    (7, 1001, 3),  # one piece
    (1, 1, 1),
    (0, 2048, 10),
]


@pytest.fixture
def numbers():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("rows", "depth", "classes"), SIZES)
def test_the_product_is_that_of_the_whole(numbers, rows, depth, classes):
    vectors = numbers.normal(size=(rows, depth)).astype(np.float32)
    weights = numbers.normal(size=(depth, classes)).astype(np.float32)
    expected = vectors.astype(np.float64) @ weights
    for given in (weights, np.asfortranarray(weights)):
        result = product(vectors, given)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize(("rows", "depth", "classes"), SIZES)
def test_the_product_of_the_transposed_is_that_of_the_whole(numbers, rows, depth, classes):
    error = numbers.normal(size=(rows, classes)).astype(np.float32)
    vectors = numbers.normal(size=(rows, depth)).astype(np.float32)
    result = product_of_transposed(error, vectors)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, error.T.astype(np.float64) @ vectors, atol=1e-3)
