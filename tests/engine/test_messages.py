"""What TensorFlow says of a graph, told whole."""

from __future__ import annotations

import pytest

from retrain_tools.engine.session import EngineError, first_sentence, naming, run
from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf


def _graph_def():
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        tf.matmul(x, tf.ones([3, 2], name="w"), name="y")
        image = v1.placeholder(tf.float32, [1, 8, 8, 3], name="image")
        tf.nn.conv2d(image, tf.ones([1, 1, 3, 1], name="kernel"), 1, "SAME", name="scope/conv")
    return graph.as_graph_def()


def _node(graph_def, name):
    return next(node for node in graph_def.node if node.name == name)


def _refusal(graph_def) -> str:
    with tf.Graph().as_default(), pytest.raises(InputError) as refused, naming("g.pb"):
        tf.compat.v1.import_graph_def(graph_def, name="")
    return str(refused.value)


def test_shapes_that_do_not_fit_are_told_to_the_end():
    graph_def = _graph_def()
    _node(graph_def, "x").attr["shape"].shape.dim[1].size = 120

    assert _refusal(graph_def) == (
        "g.pb cannot be opened by TensorFlow: Dimensions must be equal, but are 120 and 3 for 'y' "
        "with input shapes: [?,120], [3,2]."
    )


def test_a_node_is_named_without_its_attributes_even_where_these_have_brackets_and_quotes():
    graph_def = _graph_def()
    _node(graph_def, "image").attr["shape"].shape.dim[3].size = 5

    assert _refusal(graph_def) == (
        "g.pb cannot be opened by TensorFlow: Depth of input (5) is not a multiple of input depth "
        "of filter (3) for 'scope/conv' with input shapes: [1,8,8,5], [1,1,3,1]."
    )


def test_an_unknown_op_is_told_without_the_name_of_this_computer():
    graph_def = _graph_def()
    _node(graph_def, "y").op = "Nope"

    assert _refusal(graph_def) == (
        "g.pb cannot be opened by TensorFlow: Op type not registered 'Nope'"
    )


def test_a_node_with_too_many_inputs_is_named_at_the_end():
    graph_def = _graph_def()
    _node(graph_def, "y").input.append("x")

    assert _refusal(graph_def).endswith("; NodeDef: y")


def test_a_failing_run_is_told_without_the_place_in_the_graph():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, name="x")
        product = tf.matmul(x, x, name="a/product")
    with (
        tf.compat.v1.Session(graph=graph) as session,
        pytest.raises(EngineError, match=r"^Matrix size-incompatible: In\[0\]: \[1,2\], .*[^\]}]$"),
    ):
        run(session, product, {x: [[1.0, 2.0]]})


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("2 root error(s) found.\n  (0) INVALID: bad\n\t [[{{node a}}]]", "INVALID: bad"),
        ("cannot read '{{function_node f}}{{node a/b}}' here", "cannot read 'a/b' here"),
        ("plain", "plain"),
        ("plain [[{{node a}}]]", "plain"),
    ],
)
def test_messages_of_many_forms(message, told):
    assert first_sentence(ValueError(message)) == told
