"""Training against finite differences, TensorFlow's own optimizer and retrain.py's rules."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.errors import InputError
from retrain_tools.head.training import (
    Head,
    Sampler,
    TrainingSettings,
    accuracy,
    cross_entropy,
    initial_head,
    sample_rows,
    train,
)

from .conftest import make_head


def no_validation():
    return np.zeros((0, 5), np.float32), np.zeros(0, np.int64)


def batch(seed, size=7, depth=5, classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (size, depth)).astype(np.float32), rng.integers(classes, size=size)


def train_on(start, batches, **settings):
    """Train on these batches, one a step; return the head and a copy of each step's."""
    heads = []
    waiting = iter(batches)
    settings = TrainingSettings(how_many_training_steps=len(batches), **settings)
    last = train(
        start,
        settings,
        lambda: next(waiting),
        no_validation,
        lambda step: heads.append((step.head.weights.copy(), step.head.biases.copy())),
    )
    return last, heads


def mean_loss(weights, biases, vectors, classes):
    logits = vectors.astype(np.float64) @ weights + biases
    return np.mean(
        [np.log(np.exp(row).sum()) - row[c] for row, c in zip(logits, classes, strict=True)]
    )


def test_a_step_follows_the_finite_differences_of_the_loss():
    start, (vectors, classes), rate, tiny = make_head(5), batch(1), 0.25, 1e-5
    after, _ = train_on(start, [(vectors, classes)], learning_rate=rate)
    parts = [start.weights.astype(np.float64), start.biases.astype(np.float64)]
    for part, found in zip(parts, (after.weights, after.biases), strict=True):
        expected = part.copy()
        for index in np.ndindex(part.shape):
            value = part[index]
            part[index] = value + tiny
            above = mean_loss(*parts, vectors, classes)
            part[index] = value - tiny
            below = mean_loss(*parts, vectors, classes)
            part[index] = value
            expected[index] -= rate * (above - below) / (2 * tiny)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_several_steps_are_those_of_tensorflows_gradient_descent():
    start, batches = make_head(5), [batch(seed) for seed in range(6)]
    _, heads = train_on(start, batches, learning_rate=0.1)
    weights, biases = tf.Variable(start.weights), tf.Variable(start.biases)
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
    for (vectors, classes), (our_weights, our_biases) in zip(batches, heads, strict=True):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(
                    labels=tf.one_hot(classes, 3), logits=tf.matmul(vectors, weights) + biases
                )
            )
        variables = [weights, biases]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        np.testing.assert_allclose(our_weights, weights.numpy(), atol=2e-6)
        np.testing.assert_allclose(our_biases, biases.numpy(), atol=2e-6)


@pytest.mark.parametrize("classes", [2, 3, 20, 200])
def test_the_figures_and_weights_of_many_steps_are_those_of_the_formulas_in_double(classes):
    rng = np.random.default_rng(0)
    start = make_head(64, classes)
    known = [
        (rng.normal(0, 1, (100, 64)).astype(np.float32), rng.integers(classes, size=100))
        for _ in range(50)
    ]
    seen, waiting = [], iter(known)
    settings = TrainingSettings(how_many_training_steps=50, learning_rate=0.1)
    after = train(start, settings, lambda: next(waiting), lambda: known[0], seen.append)
    weights, biases = start.weights.astype(np.float64), start.biases.astype(np.float64)
    for (vectors, truth), step in zip(known, seen, strict=True):
        logits = vectors @ weights + biases
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert step.batch_accuracy == np.mean(logits.argmax(axis=1) == truth)
        loss = -np.log(scores[np.arange(100), truth]).mean()
        assert step.batch_cross_entropy == pytest.approx(loss, rel=1e-5)
        scores[np.arange(100), truth] -= 1
        weights -= 0.1 * vectors.T.astype(np.float64) @ scores / 100
        biases -= 0.1 * scores.mean(axis=0)
    np.testing.assert_allclose(after.weights, weights, atol=1e-5)
    np.testing.assert_allclose(after.biases, biases, atol=1e-5)
    assert after.weights.flags.c_contiguous


def test_training_leaves_the_start_as_it_was():
    start = make_head(5)
    before = start.weights.copy(), start.biases.copy()
    train_on(start, [batch(0)] * 3)
    assert np.array_equal(start.weights, before[0])
    assert np.array_equal(start.biases, before[1])


def test_scores_of_huge_logits_are_a_softmax_and_not_nan():
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    scores = head.scores(np.array([[1e4, -1e4, 0], [3e30, 3e30, -3e30]], np.float32))
    np.testing.assert_array_equal(scores, [[1, 0, 0], [0.5, 0.5, 0]])
    assert scores.dtype == np.float32


def test_scores_are_tensorflows_softmax():
    head, (vectors, _) = make_head(5), batch(2, size=20)
    expected = tf.nn.softmax(vectors @ head.weights + head.biases).numpy()
    np.testing.assert_allclose(head.scores(vectors), expected, atol=1e-6)


def test_cross_entropy_is_tensorflows_also_where_the_softmax_is_zero_in_float32():
    logits = np.array([[1.0, 2.0, 0.5], [500.0, 0.0, 3.0]], np.float32)
    classes = np.array([2, 1])
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits).numpy()
    assert expected[1] == 500
    assert cross_entropy(logits, classes) == pytest.approx(float(expected.mean()), rel=1e-6)


def test_accuracy_is_the_share_of_largest_logits():
    logits = np.array([[1, 2], [2, 1], [0, 5], [3, 0]], np.float32)
    assert accuracy(logits, np.array([1, 0, 0, 0])) == 0.75


def test_initial_weights_are_normal_cut_at_two_deviations_of_a_thousandth():
    head = initial_head(np.random.default_rng(0), 400, 30)
    assert head.weights.shape == (400, 30)
    assert head.weights.dtype == head.biases.dtype == np.float32
    assert np.abs(head.weights).max() <= np.float32(0.002)
    # A normal cut at 2 deviations has 0.8796 of the uncut one's deviation.
    assert head.weights.std() == pytest.approx(0.001 * 0.8796, rel=0.02)
    assert abs(head.weights.mean()) < 5 * 0.00088 / np.sqrt(12000)
    assert not head.biases.any()


def test_the_same_seed_gives_the_same_initial_head_and_another_another():
    first, again, other = (initial_head(np.random.default_rng(s), 9, 4).weights for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def drawn_one_by_one(rng, rows_per_class, count):
    """retrain.py's draws, image by image, as version 0.1.0 made them."""
    classes = [rows for rows in rows_per_class if len(rows)]
    chosen = rng.integers(len(classes), size=count)
    index = rng.integers(2**27, size=count)
    return [classes[c][i % len(classes[c])] for c, i in zip(chosen, index, strict=True)]


@pytest.mark.parametrize("lengths", [(3, 0, 300, 20), (1,), (0, 7), (5,) * 200])
def test_a_sampler_draws_what_drawing_one_by_one_does_and_leaves_the_generator_there(lengths):
    rng = np.random.default_rng(7)
    rows = [rng.permutation(10_000)[:length] for length in lengths]
    ours, plain = np.random.default_rng(5), np.random.default_rng(5)
    sampler = Sampler(rows)
    for count in (100, 1, 37, 100):
        assert sampler.draw(ours, count).tolist() == drawn_one_by_one(plain, rows, count)
    assert ours.bit_generator.state == plain.bit_generator.state


def test_rare_and_common_classes_are_drawn_equally_often():
    rows = [np.arange(3), np.arange(3, 303), np.zeros(0, np.int64), np.arange(303, 323)]
    drawn = sample_rows(np.random.default_rng(0), rows, 30_000)
    counts = [np.isin(drawn, part).sum() for part in rows]
    assert counts[2] == 0
    used = np.array([counts[i] for i in (0, 1, 3)])
    assert used.sum() == 30_000
    assert ((used - 10_000) ** 2 / 10_000).sum() < 13.8  # chi-square, 2 degrees, p = 0.001


def test_images_of_a_class_are_drawn_equally_often_and_with_replacement():
    drawn = sample_rows(np.random.default_rng(1), [np.arange(5, 15)], 10_000)
    counts = np.bincount(drawn, minlength=15)
    assert not counts[:5].any()
    assert ((counts[5:] - 1000) ** 2 / 1000).sum() < 27.9  # chi-square, 9 degrees, p = 0.001


def test_a_negative_count_gives_every_row_once():
    drawn = sample_rows(np.random.default_rng(0), [np.array([4, 2]), np.array([9])], -1)
    assert sorted(drawn) == [2, 4, 9]


@pytest.mark.parametrize("count", [-1, 100])
def test_an_empty_split_gives_no_rows(count):
    empty = np.zeros(0, np.int64)
    drawn = sample_rows(np.random.default_rng(0), [empty, empty], count)
    assert drawn.shape == (0,)
    assert drawn.dtype == np.int64


@pytest.mark.parametrize(
    ("steps", "interval", "expected"),
    [(10, 4, [0, 4, 8, 9]), (9, 4, [0, 4, 8]), (3, 10, [0, 2]), (1, 1, [0]), (3, 1, [0, 1, 2])],
)
def test_steps_divisible_by_the_interval_and_the_last_are_evaluated(steps, interval, expected):
    seen, validations = [], []

    def validation_batch():
        validations.append(1)
        return batch(9)

    train(
        make_head(5),
        TrainingSettings(how_many_training_steps=steps, eval_step_interval=interval),
        lambda: batch(0),
        validation_batch,
        seen.append,
    )
    assert [step.number for step in seen] == list(range(steps))
    assert [step.number for step in seen if step.evaluation is not None] == expected
    assert len(validations) == len(expected)


def test_a_batch_is_judged_before_its_step_and_evaluated_after_it():
    start, (vectors, classes), check = make_head(5), batch(0, 50), batch(5, 40)
    seen = []
    settings = TrainingSettings(how_many_training_steps=1, learning_rate=1.0)
    after = train(start, settings, lambda: (vectors, classes), lambda: check, seen.append)
    [step] = seen
    loss_before = mean_loss(start.weights, start.biases, vectors, classes)
    loss_after = mean_loss(after.weights, after.biases, vectors, classes)
    assert loss_after < loss_before
    assert step.batch_cross_entropy == pytest.approx(loss_before, rel=1e-5)
    right = (vectors @ start.weights + start.biases).argmax(1) == classes
    assert step.batch_accuracy == pytest.approx(right.mean())
    train_accuracy, train_loss, check_accuracy, check_loss, count = step.evaluation
    assert train_loss == pytest.approx(loss_after, rel=1e-5)
    assert check_loss == pytest.approx(mean_loss(after.weights, after.biases, *check), rel=1e-5)
    right = (vectors @ after.weights + after.biases).argmax(1) == classes
    assert train_accuracy == pytest.approx(right.mean())
    right = (check[0] @ after.weights + after.biases).argmax(1) == check[1]
    assert check_accuracy == pytest.approx(right.mean())
    assert count == 40


def test_without_validation_images_the_validation_figures_are_none():
    seen = []
    settings = TrainingSettings(how_many_training_steps=1)
    train(make_head(5), settings, lambda: batch(0), no_validation, seen.append)
    assert seen[0].evaluation[2:] == (None, None, 0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("how_many_training_steps", 0, "how_many_training_steps=0 must be at least 1."),
        ("eval_step_interval", -3, "eval_step_interval=-3 must be at least 1."),
        (
            "train_batch_size",
            0,
            "train_batch_size cannot be 0; a negative number takes all images.",
        ),
        (
            "validation_batch_size",
            0,
            "validation_batch_size cannot be 0; a negative number takes all images.",
        ),
        ("learning_rate", 0.0, "learning_rate=0.0 must be a number above 0."),
        ("learning_rate", float("nan"), "learning_rate=nan must be a number above 0."),
        ("learning_rate", float("inf"), "learning_rate=inf must be a number above 0."),
    ],
)
def test_settings_that_cannot_train_are_refused(name, value, message):
    with pytest.raises(InputError) as caught:
        TrainingSettings(**{name: value})
    assert str(caught.value) == message


def test_the_defaults_are_retrain_pys():
    settings = TrainingSettings()
    assert (settings.how_many_training_steps, settings.learning_rate) == (4000, 0.01)
    assert (settings.train_batch_size, settings.validation_batch_size) == (100, 100)
    assert settings.eval_step_interval == 10


@pytest.mark.parametrize(
    ("steps", "interval", "count", "first", "found"),
    [
        (4000, 10, 100, [0, 40, 80], 101),  # and the last step, 3999
        (4000, 30, 100, [0, 30, 60], 135),
        (25, 10, 100, [0, 10, 20, 24], 4),
        (7, 1, 2, [0, 3, 6], 3),
    ],
)
def test_about_so_many_evaluated_steps_are_spread_over_a_training(
    steps, interval, count, first, found
):
    settings = TrainingSettings(how_many_training_steps=steps, eval_step_interval=interval)
    evaluated = [step for step in range(steps) if step % interval == 0 or step == steps - 1]
    chosen = [step for step in evaluated if settings.is_one_of(count, step)]
    assert chosen[: len(first)] == first
    assert chosen[-1] == steps - 1
    assert len(chosen) == found
