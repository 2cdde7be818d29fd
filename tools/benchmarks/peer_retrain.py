"""The training of retrain.py: text files read for every batch, and a session of TensorFlow 1."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopwatch import per_second

_STEPS = 60  # its speed does not change with the step


def original(cache: str) -> dict[str, float]:
    """Train as retrain.py does, with its summaries at every step and its evaluations."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(0)
    folders = [folder for folder in sorted(Path(cache).iterdir()) if folder.is_dir()]
    by_class = [sorted(folder.glob("*.txt")) for folder in folders]

    def batch() -> Any:
        vectors, classes = [], []
        for _ in range(100):
            label = int(rng.integers(len(by_class)))
            file = by_class[label][int(rng.integers(2**27)) % len(by_class[label])]
            vectors.append([float(value) for value in file.read_text().split(",")])
            classes.append(np.eye(len(by_class), dtype=np.float32)[label])
        return vectors, classes

    with v1.Graph().as_default(), v1.Session() as session, tempfile.TemporaryDirectory() as logs:
        vectors = v1.placeholder(tf.float32, [None, len(batch()[0][0])])
        truth = v1.placeholder(tf.float32, [None, len(by_class)])
        train_step, figures = _head(v1, vectors, truth)
        merged = v1.summary.merge_all()
        writers = [v1.summary.FileWriter(f"{logs}/{name}") for name in ("train", "validation")]
        session.run(v1.global_variables_initializer())

        def job() -> None:
            for step in range(_STEPS):
                feed = dict(zip((vectors, truth), batch(), strict=True))
                writers[0].add_summary(session.run([merged, train_step], feed)[0], step)
                if step % 10 == 0:
                    session.run(figures, feed)
                    feed = dict(zip((vectors, truth), batch(), strict=True))
                    writers[1].add_summary(session.run([merged, *figures], feed)[0], step)

        return per_second(_STEPS, job)


def _head(v1: Any, vectors: Any, truth: Any) -> tuple[Any, list[Any]]:
    """Return the training step, and accuracy and cross entropy."""
    tf_math, nn = v1.math, v1.nn
    start = v1.truncated_normal([vectors.shape[1], truth.shape[1]], stddev=0.001)
    weights, biases = v1.Variable(start), v1.Variable(v1.zeros([truth.shape[1]]))
    logits = tf_math.add(v1.matmul(vectors, weights), biases)
    losses = nn.softmax_cross_entropy_with_logits(labels=v1.stop_gradient(truth), logits=logits)
    loss = v1.reduce_mean(losses)
    right = v1.equal(v1.argmax(nn.softmax(logits), 1), v1.argmax(truth, 1))
    share = v1.reduce_mean(v1.cast(right, v1.float32))
    for variable in (weights, biases):
        mean = v1.reduce_mean(variable)
        spread = v1.sqrt(v1.reduce_mean(v1.square(variable - mean)))
        extremes = (v1.reduce_max(variable), v1.reduce_min(variable))
        for name, value in zip(
            ("mean", "stddev", "max", "min"), (mean, spread, *extremes), strict=True
        ):
            v1.summary.scalar(name, value)
        v1.summary.histogram("histogram", variable)
    v1.summary.histogram("pre_activations", logits)
    v1.summary.histogram("activations", nn.softmax(logits))
    v1.summary.scalar("cross_entropy", loss)
    v1.summary.scalar("accuracy", share)
    return v1.train.GradientDescentOptimizer(0.01).minimize(loss), [share, loss]
