"""Further training graphs of TensorFlow 1, whose losses are written in other ways."""

from __future__ import annotations

from collections.abc import Callable

from retrain_tools.quiet_tensorflow import tf

from .training_graphs import conv, dense, train, v1


def placeholder(shape: list[int | None], name: str, dtype: str = "float32") -> object:
    return v1.placeholder(dtype, shape, name)


def retrained() -> None:
    """The head that retrain.py trains: bottlenecks come from the graph, or are fed."""
    bottleneck = tf.identity(placeholder([1, 20], "pool_3"), name="pool_3/_reshape")
    x = v1.placeholder_with_default(bottleneck, [None, 20], "BottleneckInputPlaceholder")
    truth = placeholder([None], "GroundTruthInput", "int64")
    logits = dense(x, 5, "final")
    v1.summary.histogram("pre_activations", logits)
    scores = tf.nn.softmax(logits, name="final_result")
    v1.summary.histogram("activations", scores)
    train(v1.losses.sparse_softmax_cross_entropy(truth, logits))
    correct = tf.equal(tf.argmax(scores, 1), truth)
    v1.summary.scalar("accuracy", tf.reduce_mean(tf.cast(correct, tf.float32)))


def variational() -> None:
    """Two terms of a loss, one of which looks at what lies in the middle."""
    x = placeholder([None, 12], "x")
    h = dense(x, 8, "h", tf.nn.relu)
    mean, spread = dense(h, 2, "mean"), dense(h, 2, "spread")
    z = mean + tf.exp(spread / 2) * tf.random.stateless_normal([2], [1, 2])
    y = dense(dense(z, 8, "d", tf.nn.relu), 12, "out", tf.sigmoid)
    kept = -tf.reduce_sum(x * tf.math.log(1e-8 + y) + (1 - x) * tf.math.log(1e-8 + 1 - y), 1)
    apart = -0.5 * tf.reduce_sum(1 + spread - tf.square(mean) - tf.exp(spread), 1)
    train(tf.reduce_mean(kept + apart))


def policy() -> None:
    """The chance of the action that was taken is chosen from all chances."""
    state, action = placeholder([None, 4], "state"), placeholder([None], "action", "int32")
    reward = placeholder([None], "reward")
    chances = tf.nn.softmax(dense(dense(state, 8, "h", tf.nn.relu), 2, "o"), name="chances")
    places = tf.range(0, tf.shape(chances)[0]) * tf.shape(chances)[1] + action
    taken = tf.gather(tf.reshape(chances, [-1]), places)
    train(-tf.reduce_mean(tf.math.log(taken) * reward))


def values_of_actions() -> None:
    """The best action has a name; the loss looks at the value of the one that was taken."""
    state, target = placeholder([None, 4], "state"), placeholder([None], "target")
    action = placeholder([None], "action", "int32")
    values = dense(dense(state, 8, "h", tf.nn.relu), 2, "q")
    tf.argmax(values, 1, name="best_action")
    taken = tf.reduce_sum(values * tf.one_hot(action, 2), 1)
    train(tf.reduce_sum(tf.square(target - taken)))


def towers() -> None:
    """One batch for two devices."""
    x, y = placeholder([None, 6], "x"), placeholder([None], "y", "int64")
    losses = []
    for part, truth in zip(tf.split(x, 3), tf.split(y, 3), strict=True):
        with v1.variable_scope("", reuse=v1.AUTO_REUSE):
            losses.append(v1.losses.sparse_softmax_cross_entropy(truth, dense(part, 3, "l")))
    train(tf.add_n(losses) / 2)


def keras_like() -> None:
    """As Keras compiled models: targets and weights of samples, and the learning phase."""
    x = placeholder([None, 6], "dense_1_input")
    phase = v1.placeholder_with_default(False, [], "keras_learning_phase")
    h = dense(x, 4, "dense_1", tf.nn.relu)
    h = v1.cond(phase, lambda: tf.nn.dropout(h, rate=0.5), lambda: tf.identity(h))
    y = tf.nn.softmax(dense(h, 3, "dense_2"), name="dense_2/Softmax")
    target = placeholder([None, None], "dense_2_target")
    weights = placeholder([None], "dense_2_sample_weights")
    scaled = tf.clip_by_value(y / tf.reduce_sum(y, -1, keepdims=True), 1e-7, 1 - 1e-7)
    losses = -tf.reduce_sum(target * tf.math.log(scaled), -1) * weights
    counted = tf.reduce_mean(tf.cast(tf.not_equal(weights, 0), tf.float32))
    correct = tf.equal(tf.argmax(target, -1), tf.argmax(y, -1))
    tf.reduce_mean(tf.cast(correct, tf.float32))
    v1.train.RMSPropOptimizer(0.1).minimize(tf.reduce_mean(losses / counted))


def segmentation() -> None:
    """A class for each pixel, drawn for TensorBoard."""
    x, y = placeholder([None, 8, 8, 3], "image"), placeholder([None, 8, 8, 1], "truth", "int32")
    kernel = v1.get_variable("kernel", [3, 3, 4, 5])
    logits = tf.nn.conv2d(conv(x, 4, "c"), kernel, 1, "SAME", name="logits")
    found = tf.expand_dims(tf.argmax(logits, 3, name="best"), 3, name="prediction")
    v1.summary.image("found", tf.cast(found, tf.uint8))
    labels = tf.squeeze(y, [3])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(logits=logits, labels=labels)
    train(tf.reduce_mean(losses))


def pooled_logits() -> None:
    """Global pooling makes the logits: arithmetic that is no part of the loss."""
    x, y = placeholder([None, 8, 8, 3], "x"), placeholder([None, 4], "y")
    logits = tf.reduce_mean(conv(x, 4, "c"), [1, 2], name="logits")
    train(tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits)))


def margin() -> None:
    """A hinge loss, and an accuracy of signs."""
    x, y = placeholder([None, 2], "x"), placeholder([None, 1], "y")
    w, b = tf.Variable(tf.ones([2, 1])), tf.Variable(tf.ones([1, 1]))
    out = tf.subtract(tf.matmul(x, w), b, name="out")
    norm = tf.reduce_sum(tf.square(w))
    train(tf.reduce_mean(tf.maximum(0.0, 1.0 - out * y)) + 0.1 * norm)
    tf.reduce_mean(tf.cast(tf.equal(tf.sign(out), y), tf.float32), name="accuracy")


def root_of_squares() -> None:
    """Regression without a bias at its end."""
    x, y = placeholder([None, 13], "x"), placeholder([None, 1], "y")
    found = tf.matmul(dense(x, 8, "h", tf.nn.relu), v1.get_variable("w", [8, 1]), name="found")
    train(tf.sqrt(tf.reduce_mean(tf.square(found - y)), name="rmse"))


def residual() -> None:
    """What is added to the image makes the result."""
    x, y = placeholder([None, 8, 8, 3], "x"), placeholder([None, 8, 8, 3], "y")
    kernel = v1.get_variable("kernel", [3, 3, 4, 3])
    found = tf.add(tf.nn.conv2d(conv(x, 4, "c"), kernel, 1, "SAME"), x, name="restored")
    train(tf.reduce_mean(tf.square(found - y)))


def only_results() -> None:
    """Exported without its training; the result is arithmetic."""
    tf.reduce_mean(dense(placeholder([None, 6], "x"), 3, "l"), 1, name="mean")


def only_judged() -> None:
    """A graph for testing: no optimiser, but an accuracy."""
    x, y = placeholder([None, 6], "x"), placeholder([None], "y", "int64")
    logits = dense(x, 3, "l")
    tf.nn.softmax(logits, name="scores")
    tf.reduce_mean(tf.cast(tf.nn.in_top_k(y, logits, 1), tf.float32), name="accuracy")


MORE: dict[Callable[[], None], tuple[set[str], set[str]] | None] = {
    retrained: ({"final_result:0"}, {"BottleneckInputPlaceholder:0", "pool_3:0"}),
    variational: ({"out/Sigmoid:0"}, {"x:0"}),
    policy: ({"chances:0"}, {"state:0"}),
    values_of_actions: ({"q/add:0", "best_action:0"}, {"state:0"}),
    towers: ({"l/add:0", "l_1/add:0", "l_2/add:0"}, {"x:0"}),
    keras_like: ({"dense_2/Softmax:0"}, {"dense_1_input:0", "keras_learning_phase:0"}),
    segmentation: ({"prediction:0"}, {"image:0"}),
    pooled_logits: ({"logits:0"}, {"x:0"}),
    margin: ({"out:0"}, {"x:0"}),
    root_of_squares: ({"found:0"}, {"x:0"}),
    residual: ({"restored:0"}, {"x:0"}),
    only_results: ({"mean:0"}, {"x:0"}),
    only_judged: ({"scores:0"}, {"x:0"}),
}
