from __future__ import annotations

import pytest

from retrain_tools.graphdef.versions import (
    Deprecated,
    deprecated_ops,
    op_counts,
    read_versions,
    unavailable_ops,
)
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import add, empty_graph, inception_like, theirs


@pytest.mark.parametrize(
    ("producer", "meaning"),
    [
        (0, "not said: written by hand or by a tool that drops it; TensorFlow takes any op in it"),
        (1, "TensorFlow of December 2015; ops that were dropped later still work"),
        (8, "TensorFlow of February 2016; ops that were dropped later still work"),
        (9, "TensorFlow of February 2016 to June 2016; ops that were dropped later still work"),
        (22, "TensorFlow of January 2017 to May 2017; ops that were dropped later still work"),
        (29, "TensorFlow of March 2019 to May 2019"),
        (30, "TensorFlow's sources of 9 May 2019"),
        (2474, "TensorFlow's sources of 16 January 2026"),
    ],
)
def test_what_a_version_means(producer: int, meaning: str) -> None:
    assert read_versions(empty_graph(producer)).meaning == meaning


def test_an_absurd_version_is_no_crash() -> None:
    assert "sources of" in read_versions(empty_graph(2**31 - 1)).meaning


def test_consumers() -> None:
    graph_def = empty_graph(21)
    graph_def.versions.min_consumer = 12
    graph_def.versions.bad_consumers.extend([13, 14])
    versions = read_versions(graph_def)
    assert (versions.producer, versions.min_consumer, versions.bad_consumers) == (21, 12, (13, 14))


def test_ops_the_most_frequent_first_with_those_of_functions() -> None:
    graph_def = empty_graph()
    for name, op in (("a", "Relu"), ("b", "Mystery"), ("c", "Relu"), ("d", "Call")):
        add(graph_def, name, op)
    function = graph_def.library.function.add()
    function.signature.name = "Call"
    function.node_def.add(name="x", op="Mystery")
    function.node_def.add(name="y", op="Tanh")
    counts = op_counts(graph_def)
    assert list(counts.items()) == [("Mystery", 2), ("Relu", 2), ("Call", 1), ("Tanh", 1)]
    assert unavailable_ops(graph_def, counts) == {"Mystery": 2}


def test_every_registered_op_is_available() -> None:
    graph_def = empty_graph()
    add(graph_def, "a", "Conv2D")
    add(graph_def, "b", "ImageProjectiveTransformV2")
    assert unavailable_ops(graph_def, op_counts(graph_def)) == {}


@pytest.mark.parametrize(("producer", "is_dropped"), [(0, False), (8, False), (9, True)])
def test_deprecated_ops(producer: int, is_dropped: bool) -> None:
    graph_def = inception_like(producer=producer)
    found = deprecated_ops(graph_def, op_counts(graph_def))
    assert found == (
        Deprecated(
            "BatchNormWithGlobalNormalization", 2, 9, "Use tf.nn.batch_normalization()", is_dropped
        ),
    )
    with tf.Graph().as_default():
        if is_dropped:
            with pytest.raises(tf.errors.UnimplementedError, match="removed in version 9"):
                tf.compat.v1.import_graph_def(theirs(graph_def))
        else:
            tf.compat.v1.import_graph_def(theirs(graph_def))
