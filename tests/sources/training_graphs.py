"""Training graphs as people wrote them for TensorFlow 1: each with its prediction known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrain_tools.quiet_tensorflow import tf

v1 = tf.compat.v1


def dense(x: Any, size: int, name: str, activation: Any = None) -> Any:
    with v1.variable_scope(name):
        w = v1.get_variable("w", [int(x.shape[-1]), size])
        b = v1.get_variable("b", [size], initializer=v1.random_normal_initializer())
        y = tf.matmul(x, w) + b
        return y if activation is None else activation(y)


def conv(x: Any, size: int, name: str) -> Any:
    with v1.variable_scope(name):
        w = v1.get_variable("w", [3, 3, int(x.shape[-1]), size])
        b = v1.get_variable("b", [size])
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, w, 1, "SAME"), b))


def train(loss: Any) -> Any:
    v1.summary.scalar("loss", loss)
    v1.summary.merge_all()
    return v1.train.AdamOptimizer(0.01).minimize(loss)


def softmax_regression() -> None:
    """The tutorial for beginners: the loss is written out, and takes the probabilities."""
    x, y_ = v1.placeholder(tf.float32, [None, 20]), v1.placeholder(tf.float32, [None, 4])
    w, b = tf.Variable(tf.random.normal([20, 4])), tf.Variable(tf.zeros([4]))
    y = tf.nn.softmax(tf.matmul(x, w) + b, name="y")
    train(tf.reduce_mean(-tf.reduce_sum(y_ * tf.math.log(y), axis=[1])))
    correct = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))
    tf.reduce_mean(tf.cast(correct, tf.float32), name="accuracy")


def logits_only() -> None:
    """The same with the fused loss: the prediction is the logits."""
    x, y_ = v1.placeholder(tf.float32, [None, 20], "x"), v1.placeholder(tf.int64, [None], "y_")
    logits = dense(x, 4, "logits")
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y_, logits=logits)
    train(tf.reduce_mean(loss))
    right = tf.reduce_mean(tf.cast(tf.nn.in_top_k(y_, logits, 1), tf.float32))
    v1.summary.scalar("accuracy", right)


def logits_and_best() -> None:
    """The accuracy looks at the best class; the loss at the logits."""
    x, y_ = v1.placeholder(tf.float32, [None, 20], "x"), v1.placeholder(tf.float32, [None, 4], "y_")
    logits = dense(dense(x, 8, "hidden", tf.nn.relu), 4, "logits")
    train(tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y_, logits=logits)))
    correct = tf.equal(tf.argmax(logits, 1), tf.argmax(y_, 1))
    tf.reduce_mean(tf.cast(correct, "float"), name="accuracy")


def cnn_with_dropout() -> None:
    """The tutorial for experts: flat images, `keep_prob`, and names of nobody's choice."""
    x, y_ = v1.placeholder(tf.float32, [None, 64], "x"), v1.placeholder(tf.float32, [None, 4], "y_")
    h = conv(tf.reshape(x, [-1, 8, 8, 1]), 4, "conv1")
    v1.summary.image("pixels", tf.reshape(x, [-1, 8, 8, 1]))
    h = tf.reshape(tf.nn.max_pool2d(h, 2, 2, "SAME"), [-1, 4 * 4 * 4])
    keep_prob = v1.placeholder(tf.float32, name="keep_prob")
    h = v1.nn.dropout(dense(h, 16, "fc", tf.nn.relu), keep_prob)
    y = tf.nn.softmax(dense(h, 4, "out"), name="prediction")
    train(-tf.reduce_sum(y_ * tf.math.log(tf.clip_by_value(y, 1e-10, 1.0))))
    correct = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))
    v1.summary.scalar("accuracy", tf.reduce_mean(tf.cast(correct, tf.float32)))


def lstm() -> None:
    """A recurrent network with a loop."""
    x, y_ = v1.placeholder(tf.float32, [None, 5, 3], "X"), v1.placeholder(tf.int32, [None], "Y")
    kernel = v1.get_variable("lstm/kernel", [3 + 6, 4 * 6])
    steps = tf.transpose(x, [1, 0, 2])
    zeros = tf.zeros([tf.shape(x)[0], 6])

    def step(n: Any, c: Any, h: Any) -> tuple[Any, Any, Any]:
        i, j, f, o = tf.split(tf.matmul(tf.concat([steps[n], h], 1), kernel), 4, 1)
        c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        return n + 1, c, tf.tanh(c) * tf.sigmoid(o)

    _, _, h = v1.while_loop(lambda n, *_: n < 5, step, [0, zeros, zeros])
    logits = dense(h, 4, "out")
    tf.nn.softmax(logits, name="prediction")
    train(v1.losses.sparse_softmax_cross_entropy(y_, logits))


def autoencoder() -> None:
    """The loss compares the result with the input; nothing else takes the result."""
    x = v1.placeholder(tf.float32, [None, 12], "x")
    code = dense(x, 3, "encoder", tf.sigmoid)
    y = dense(code, 12, "decoder", tf.sigmoid)
    train(tf.reduce_mean(tf.pow(x - y, 2)))


def line() -> None:
    """Regression with placeholders of no shape."""
    x, y = v1.placeholder("float", name="X"), v1.placeholder("float", name="Y")
    w, b = tf.Variable(0.3, name="weight"), tf.Variable(-0.2, name="bias")
    found = tf.add(tf.multiply(x, w), b, name="pred")
    train(tf.reduce_sum(tf.pow(found - y, 2)) / (2 * 17))


def gan() -> None:
    """Two networks that are trained against each other: which is meant cannot be told."""
    z, x = v1.placeholder(tf.float32, [None, 5], "z"), v1.placeholder(tf.float32, [None, 12], "x")

    def judged(images: Any) -> Any:
        with v1.variable_scope("judge", reuse=v1.AUTO_REUSE):
            return dense(dense(images, 8, "hidden", tf.nn.relu), 1, "out")

    sample = dense(dense(z, 8, "make/hidden", tf.nn.relu), 12, "make/out", tf.sigmoid)
    real, fake = judged(x), judged(sample)
    ones, zeros = tf.ones_like(real), tf.zeros_like(real)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    judge_loss = tf.reduce_mean(entropy(labels=ones, logits=real)) + tf.reduce_mean(
        entropy(labels=zeros, logits=fake)
    )
    make_loss = tf.reduce_mean(entropy(labels=ones, logits=fake))
    mine = [v for v in v1.trainable_variables() if v.name.startswith("judge")]
    others = [v for v in v1.trainable_variables() if v.name.startswith("make")]
    v1.train.AdamOptimizer().minimize(judge_loss, var_list=mine)
    v1.train.AdamOptimizer().minimize(make_loss, var_list=others)


def fed_by_queues() -> None:
    """Files are read, decoded and batched by queues; labels come first."""
    names = v1.train.string_input_producer(["a.bin"])
    _, record = v1.FixedLengthRecordReader(13).read(names)
    numbers = tf.cast(tf.io.decode_raw(record, tf.uint8), tf.float32)
    label, image = tf.cast(numbers[0], tf.int32), tf.reshape(numbers[1:], [2, 2, 3]) / 255.0
    labels, images = v1.train.shuffle_batch([label, image], 2, 50, 10)
    logits = dense(tf.reshape(conv(images, 4, "conv"), [-1, 16]), 4, "logits")
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    v1.add_to_collection("losses", tf.nn.l2_loss(v1.trainable_variables()[0]) * 0.01)
    v1.add_to_collection("losses", tf.reduce_mean(losses))
    train(tf.add_n(v1.get_collection("losses"), name="total_loss"))


def batch_norm() -> None:
    """`phase` chooses between a batch's figures and the moving averages."""
    x, y_ = v1.placeholder(tf.float32, [None, 20], "x"), v1.placeholder(tf.int64, [None], "labels")
    phase = v1.placeholder(tf.bool, [], "phase")
    h = dense(x, 8, "hidden")
    mean, var = tf.nn.moments(h, [0])
    ema = v1.train.ExponentialMovingAverage(0.9)

    def updated() -> Any:
        with tf.control_dependencies([ema.apply([mean, var])]):
            return tf.identity(mean), tf.identity(var)

    m, v = v1.cond(phase, updated, lambda: (ema.average(mean), ema.average(var)))
    scale = v1.get_variable("gamma", [8], initializer=v1.ones_initializer())
    h = tf.nn.relu(tf.nn.batch_normalization(h, m, v, None, scale, 1e-3))
    logits = dense(h, 4, "out")
    tf.sigmoid(logits, name="scores")
    one_hot = tf.one_hot(y_, 4)
    train(tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=one_hot, logits=logits)))


def estimator_like() -> None:
    """A data set, global step, metrics in local variables, and several named results."""
    features = {"x": np.zeros([6, 20], "f")}
    data = v1.data.Dataset.from_tensor_slices((features, np.zeros([6], np.int64))).batch(2)
    batch, labels = v1.data.make_initializable_iterator(data).get_next()
    logits = dense(dense(batch["x"], 8, "hidden", tf.nn.relu), 4, "logits")
    classes = tf.argmax(logits, axis=1, name="classes")
    tf.nn.softmax(logits, name="softmax_tensor")
    loss = v1.losses.sparse_softmax_cross_entropy(labels=labels, logits=logits)
    v1.metrics.accuracy(labels=labels, predictions=classes)
    step = v1.train.get_or_create_global_step()
    v1.train.GradientDescentOptimizer(0.1).minimize(loss, global_step=step)


def slim_like() -> None:
    """End points as summaries, weight decay, a total loss with a check of its numbers."""
    images = v1.placeholder(tf.float32, [None, 8, 8, 3], "images")
    labels = v1.placeholder(tf.int64, [None], "labels")
    h = conv(images, 4, "net/conv1")
    v1.summary.histogram("activations/conv1", h)
    v1.summary.scalar("sparsity/conv1", tf.nn.zero_fraction(h))
    h = tf.reduce_mean(h, [1, 2], name="net/pool", keepdims=True)
    logits = tf.squeeze(
        tf.nn.conv2d(h, v1.get_variable("net/logits/w", [1, 1, 4, 4]), 1, "SAME"), [1, 2], "logits"
    )
    end = tf.nn.softmax(logits, name="net/Predictions/Reshape_1")
    v1.summary.histogram("activations/Predictions", end)
    v1.losses.softmax_cross_entropy(tf.one_hot(labels, 4), logits, label_smoothing=0.1)
    decay = [tf.nn.l2_loss(v) * 4e-5 for v in v1.trainable_variables()]
    total = tf.add_n([v1.losses.get_total_loss(), *decay])
    train(v1.debugging.check_numerics(total, "loss is inf or nan"))


def two_heads() -> None:
    """One input and two results, with one loss for both."""
    x = v1.placeholder(tf.float32, [None, 20], "x")
    kind, size = (
        v1.placeholder(tf.int64, [None], "kind"),
        v1.placeholder(tf.float32, [None], "size"),
    )
    h = dense(x, 8, "hidden", tf.nn.relu)
    kinds, sizes = dense(h, 4, "kinds"), tf.squeeze(dense(h, 1, "sizes"), [1], name="size_found")
    loss = v1.losses.sparse_softmax_cross_entropy(kind, kinds)
    loss += tf.reduce_mean(tf.abs(sizes - size))
    tf.nn.softmax(kinds, name="kind_scores")
    train(loss)


def siamese() -> None:
    """Two inputs through one network: two results, neither of all inputs."""
    one = v1.placeholder(tf.float32, [None, 12], "one")
    two = v1.placeholder(tf.float32, [None, 12], "two")
    is_same = v1.placeholder(tf.float32, [None], "is_same")

    def embedded(x: Any) -> Any:
        with v1.variable_scope("net", reuse=v1.AUTO_REUSE):
            return dense(dense(x, 8, "hidden", tf.nn.relu), 2, "out")

    distance = tf.reduce_sum(tf.square(embedded(one) - embedded(two)), 1)
    far = tf.square(tf.maximum(5.0 - tf.sqrt(distance + 1e-6), 0.0))
    train(tf.reduce_mean(is_same * distance + (1 - is_same) * far))


def word2vec() -> None:
    """A loss over classes that are drawn at random: without it there are only the vectors."""
    word = v1.placeholder(tf.int64, [None], "word")
    context = v1.placeholder(tf.int64, [None, 1], "context")
    vectors = v1.get_variable("vectors", [50, 8])
    found = tf.nn.embedding_lookup(vectors, word, name="found")
    weights, biases = v1.get_variable("weights", [50, 8]), v1.get_variable("biases", [50])
    train(tf.reduce_mean(v1.nn.nce_loss(weights, biases, context, found, 5, 50)))


def default_from_a_queue() -> None:
    """What the queue gives can be replaced by a feed, as `placeholder_with_default` allows."""
    batch, labels = v1.train.batch([tf.random.uniform([20]), tf.constant(1, tf.int64)], 2)
    x = v1.placeholder_with_default(batch, [None, 20], "x")
    keep = v1.placeholder_with_default(1.0, [], "keep")
    logits = dense(v1.nn.dropout(dense(x, 8, "hidden", tf.tanh), keep), 4, "logits")
    tf.nn.softmax(logits, name="scores")
    train(v1.losses.sparse_softmax_cross_entropy(labels, logits))


def train_and_test_towers() -> None:
    """A tower that a queue feeds for training, and one for feeds, with the same variables."""

    def tower(x: Any) -> Any:
        with v1.variable_scope("net", reuse=v1.AUTO_REUSE):
            return dense(dense(x, 8, "hidden", tf.nn.relu), 4, "out")

    batch, labels = v1.train.batch([tf.random.uniform([20]), tf.constant(1, tf.int64)], 2)
    train(v1.losses.sparse_softmax_cross_entropy(labels, tower(batch)))
    tf.nn.softmax(tower(v1.placeholder(tf.float32, [None, 20], "x")), name="test_scores")


# The results, and the inputs that have to be fed; None where it cannot be told.
GRAPHS: dict[Callable[[], None], tuple[set[str], set[str]] | None] = {
    softmax_regression: ({"y:0"}, {"Placeholder:0"}),
    logits_only: ({"logits/add:0"}, {"x:0"}),
    logits_and_best: ({"logits/add:0"}, {"x:0"}),
    cnn_with_dropout: ({"prediction:0"}, {"x:0", "keep_prob:0"}),
    lstm: ({"prediction:0"}, {"X:0"}),
    autoencoder: ({"decoder/Sigmoid:0"}, {"x:0"}),
    line: ({"pred:0"}, {"X:0"}),
    gan: None,
    word2vec: None,
    fed_by_queues: ({"logits/add:0"}, {"shuffle_batch:1"}),
    batch_norm: ({"scores:0"}, {"x:0", "phase:0"}),
    estimator_like: ({"softmax_tensor:0", "classes:0"}, {"IteratorGetNext:0"}),
    slim_like: ({"net/Predictions/Reshape_1:0"}, {"images:0"}),
    two_heads: ({"kind_scores:0", "size_found:0"}, {"x:0"}),
    siamese: None,
    default_from_a_queue: ({"scores:0"}, {"x:0", "keep:0"}),
    train_and_test_towers: ({"test_scores:0"}, {"x:0"}),
}
