"""Every name that is shown is that of a tensor that a node makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef.bottleneck import bottleneck_candidates
from retrain_tools.graphdef.navigate import check_made
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.tensors import graph_inputs, graph_outputs, list_tensors
from retrain_tools.listing.choose import Kinds, of_kind
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.readers.graph_def import read_graph_def

from .tiny_graphs import add, add_constant, empty_graph, inception_like, own, real

# How many outputs TensorFlow's ops have, counted by hand in its documentation.
OUTPUTS = {
    **dict.fromkeys(
        ("Relu", "MatMul", "Softmax", "ArgMax", "Identity", "CheckNumerics", "Mean"), 1
    ),
    **dict.fromkeys(("NoOp", "Assert", "QueueEnqueueV2", "QueueCloseV2", "SaveV2"), 0),
    **{"Split": 3, "Unique": 2, "TopKV2": 2, "Mystery": None, "ScalarSummary": 1, "Assign": 1},
    # What training graphs are made of, even without inputs.
    **dict.fromkeys(("ApplyGradientDescent", "ReluGrad", "Fill", "VariableV2", "Shape"), 1),
    **dict.fromkeys(("Equal", "L2Loss", "Exit", "Restore"), 1),
}
IMAGES = tf.TensorShape([None, 4, 4, 3])


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """A graph of any ops in a row, some taking what is not there, or control edges only."""
    graph_def = empty_graph(24)
    add(graph_def, "n0", "Placeholder", dtype=tf.float32, shape=IMAGES)
    for number in range(1, draw(st.integers(2, 10))):
        op = draw(st.sampled_from(sorted(OUTPUTS)))
        before = st.integers(0, number - 1)
        form = st.sampled_from(("n{}", "n{}", "n{}:1", "n{}:7", "^n{}"))
        taken = draw(st.lists(st.builds(str.format, form, before), max_size=3))
        node = add(graph_def, f"n{number}", op, taken)
        if op in ("Relu", "MatMul", "Softmax", "Identity", "Split", "Mystery"):
            node.attr["T"].type = 1
        if op == "Split":
            node.attr["num_split"].i = 3
    return graph_def


def made_by_hand(graph_def: Any) -> set[str]:
    names = {"n0:0"}
    for node in graph_def.node[1:]:
        count = OUTPUTS[node.op]
        if count is None:  # as many as are taken
            taken = [t for n in graph_def.node for t in n.input if t.startswith(f"{node.name}:")]
            count = 1 + max((int(t.partition(":")[2]) for t in taken), default=0)
        names |= {f"{node.name}:{index}" for index in range(count)}
    return names


@settings(deadline=None, max_examples=300)
@given(graphs())
def test_every_name_that_is_shown_is_a_tensor_of_the_graph(graph_def: Any) -> None:
    made = made_by_hand(graph_def)
    tensors = list_tensors(graph_def)
    assert {tensor.name for tensor in tensors} == made
    for kinds in (Kinds(inputs=True), Kinds(outputs=True), Kinds(bottlenecks=True)):
        try:
            found, _ = of_kind(graph_def, tensors, kinds, Path("g.pb"))
        except InputError:  # nothing follows the pixels
            continue
        assert {tensor.name for tensor in found} <= made
    summary = summarize(graph_def, Path("g.pb"))
    named = {guess.tensor.name for guess in (*summary.inputs, *summary.outputs)}
    assert named | {candidate.tensor for candidate in summary.bottlenecks} <= made
    in_commands = re.findall(r"=(n\d+:\d+)", " ".join(summary.commands))
    assert set(in_commands) <= made


def test_a_real_training_graph_with_queues_names_what_is_there() -> None:
    graph_def = read_graph_def(real("wild/unique_mnist_graph.pbtxt"))
    tensors = list_tensors(graph_def)
    names = {tensor.name for tensor in tensors}
    outputs = [tensor.name for tensor in graph_outputs(graph_def, tensors)]
    assert outputs == ["ArgMax:0", "softmax_tensor:0"]
    summary = summarize(graph_def, Path("unique_mnist_graph.pbtxt"))
    assert {guess.tensor.name for guess in summary.outputs} == set(outputs)
    assert {candidate.tensor for candidate in summary.bottlenecks} <= names
    found = bottleneck_candidates(graph_def, "random_shuffle_queue_DequeueMany:1")
    assert [(c.tensor, c.why) for c in found] == [
        ("Reshape_1:0", "what the last layer classifies"),
        ("max_pooling2d_2/MaxPool:0", "the same before pooling or reshaping"),
        ("conv2d_2/Relu:0", "the same before pooling or reshaping"),
        ("dense/BiasAdd:0", "the last layer's own output (logits)"),
    ]


@pytest.mark.parametrize("ending", ["ArgMax", "TopKV2", "Sigmoid"])
def test_the_logits_are_what_classes_are_made_of(ending: str) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 3], "x")
        pooled = tf.reduce_mean(tf.nn.conv2d(x, np.ones((3, 3, 3, 5), "f"), 1, "SAME"), [1, 2])
        logits = tf.nn.bias_add(tf.matmul(pooled, np.ones((5, 2), "f")), [0.0, 1.0], name="add")
        {"ArgMax": lambda y: tf.argmax(y, 1), "TopKV2": tf.math.top_k, "Sigmoid": tf.sigmoid}[
            ending
        ](logits)
    found = bottleneck_candidates(own(graph.as_graph_def()), "x:0")
    assert (found[-1].tensor, found[-1].why) == ("add:0", "the last layer's own output (logits)")
    assert not any("ArgMax" in candidate.tensor for candidate in found)


def test_what_a_later_activation_makes_is_not_called_logits() -> None:
    graph_def = inception_like()
    names = [node.name for node in graph_def.node]
    del graph_def.node[names.index("softmax") :]
    add(graph_def, "last", "Relu", ["softmax/logits"], T=tf.float32)
    found = bottleneck_candidates(graph_def, "Mul:0")
    assert (found[-1].tensor, found[-1].why) == ("last:0", "the graph's output")


def test_a_tensor_that_was_named_but_is_not_there_is_no_candidate() -> None:
    found = bottleneck_candidates(inception_like(), "Mul:0", known="pool_3:4")
    assert found[0].tensor == "pool_3/_reshape:0"
    assert "pool_3:4" not in [candidate.tensor for candidate in found]


def test_a_final_check_of_numbers_is_an_output() -> None:
    for name in ("frozen_model.pb", "frozen_graph.pbtxt"):
        graph_def = read_graph_def(real(f"wild/check_numerics/{name}"))
        outputs = graph_outputs(graph_def, list_tensors(graph_def))
        assert [tensor.op for tensor in outputs] == ["CheckNumerics"]


def test_a_check_beside_the_way_is_no_output() -> None:
    """As in the graph of 2015: others only wait for it; or what it checks goes on elsewhere."""
    graph_def = empty_graph()
    add_constant(graph_def, "x", np.ones(2, np.float32))
    add(graph_def, "waited_for", "CheckNumerics", ["x"], T=tf.float32)
    add(graph_def, "y", "Identity", ["x", "^waited_for"], T=tf.float32)
    add(graph_def, "z", "Relu", ["y"], T=tf.float32)
    add(graph_def, "beside", "CheckNumerics", ["z"], T=tf.float32)
    add(graph_def, "final", "Relu", ["z"], T=tf.float32)
    outputs = graph_outputs(graph_def, list_tensors(graph_def))
    assert [tensor.name for tensor in outputs] == ["final:0"]


def test_an_unknown_op_has_the_outputs_that_it_says_or_that_are_taken() -> None:
    """As a detection network's TFLite_Detection_PostProcess, which the converter describes."""
    graph_def = empty_graph()
    add_constant(graph_def, "x", np.ones(2, np.float32))
    said = add(graph_def, "said", "TFLite_Detection_PostProcess", ["x"])
    said.attr["_output_types"].list.type.extend([1, 1, 1, 1])
    add(graph_def, "taken", "Mystery", ["x"])
    add(graph_def, "y", "Relu", ["taken:2"], T=tf.float32)
    add(graph_def, "silly", "Mystery", ["x"])
    add(graph_def, "w", "Relu", ["silly:99999999"], T=tf.float32)
    names = [tensor.name for tensor in list_tensors(graph_def)]
    assert [n for n in names if n.startswith("said")] == [f"said:{n}" for n in range(4)]
    assert [n for n in names if n.startswith("taken")] == [f"taken:{n}" for n in range(3)]
    assert [n for n in names if n.startswith("silly")] == ["silly:0"]


def test_inputs_of_a_training_graph_are_what_can_be_fed() -> None:
    graph_def = read_graph_def(real("wild/unique_mnist_graph.pbtxt"))
    assert len(graph_inputs(graph_def, list_tensors(graph_def))) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("init", "the node 'init' (NoOp) has no output."),
        ("x:3", "the node 'x' (Const) has 1 output: x:0."),
        ("parts:2", "the node 'parts' (Split) has 2 outputs: parts:0 to parts:1."),
    ],
)
def test_an_output_that_a_node_does_not_have_is_told(name: str, said: str) -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "x", np.ones(2, np.float32))
    add(graph_def, "init", "NoOp")
    add(graph_def, "parts", "Split", ["x", "x"], T=tf.float32, num_split=2)
    add(graph_def, "mystery", "Mystery", ["x"])
    nodes = {node.name: node for node in graph_def.node}
    with pytest.raises(InputError) as error:
        check_made(name, nodes, "g.pb")
    full = name if ":" in name else f"{name}:0"
    assert str(error.value) == (
        f"No tensor {full!r} in g.pb: {said} List tensors: list_tensors --graph=g.pb"
    )
    assert check_made("parts:1", nodes, "g.pb") == "parts:1"
    assert check_made("mystery:5", nodes, "g.pb") == "mystery:5"
