"""Puts a trained head on its graph: retrain.py's output_graph.pb and output_labels.txt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.engine.shapes import tensor_shape
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_constant, new_node, strip_defaults
from retrain_tools.graphdef.dtypes import FLOAT32, INT32
from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name, unique_name, upstream
from retrain_tools.graphdef.note import write_labels as note_labels
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.training import Head
from retrain_tools.quiet_tensorflow import system_errors, tf

_NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*")  # TensorFlow's rule


def write_labels(path: str, labels: Sequence[str]) -> None:
    """Write one label a line, in the order of the head's classes."""
    files.write_text(path, "\n".join(labels) + "\n")


def retrained_graph(
    frozen: FrozenGraph,
    head: Head,
    pooling: str = "avg",
    final_tensor_name: str = "final_result",
    encoded_input: bool = True,
    labels: Sequence[str] = (),
) -> Any:
    """Return the source graph up to the bottleneck with the head behind it.

    The nodes and names are those of retrain.py: `input/BottleneckInputPlaceholder` (`input_1/…`
    where `input` is taken), `final_training_ops/…` and the final tensor. The ops are as old as
    they are, and attributes with default values are left out, so that TensorFlow 1 reads the graph
    as well as TensorFlow 2. The source's own nodes and GraphDef version are kept.

    With `encoded_input`, a graph that takes only pixels gets an encoded input too: its placeholder
    then takes what decoding and scaling give, unless it is fed. A bottleneck of rank above 2 is
    pooled. The labels, in the order of the head's classes, go into the graph's note.

    Raises:
        InputError: the final tensor's name is taken, or none that TensorFlow takes.
    """
    bottleneck = frozen.spec.bottleneck
    nodes = nodes_by_name(frozen.graph_def)
    wanted = upstream(nodes, [bottleneck])
    result = copy_nodes(frozen.graph_def, lambda node: node.name in wanted)
    if encoded_input and frozen.spec.encoded_input is None:
        add_image_side(result, frozen.spec)
    shape = tensor_shape(frozen.graph_def, bottleneck)
    vector = add_pooling(result, bottleneck, shape, pooling, len(head.weights))
    result.node.extend(_head_nodes(vector, head, {node.name for node in result.node}))
    given = f"{argument('final_tensor_name')}={final_tensor_name!r}"
    if not _NODE_NAME.fullmatch(final_tensor_name):
        raise InputError(
            f"{given} cannot be the name of a node: it takes letters, digits and any of _ . - / "
            "(and no ':0')."
        )
    if final_tensor_name in {node.name for node in result.node}:
        needed = f"is the name of a node that {frozen.path} or the new layer needs"
        raise InputError(f"{given} {needed}; choose another.")
    logits = result.node[-1].name
    result.node.append(new_node(final_tensor_name, "Softmax", [logits], T=FLOAT32))
    for node in result.node:
        strip_defaults(node)
    note_labels(result, final_tensor_name, labels)
    return result


def add_pooling(
    graph_def: Any, bottleneck: str, shape: Shape | None, pooling: str, depth: int
) -> str:
    """Add what `features.pooling.pool` does to a float32 tensor as nodes at the end of `graph_def`.

    Returns:
        The name of the float32 [N, depth] tensor: `bottleneck` where that is a vector already.
    """
    if shape is not None and len(shape) <= 2:
        return bottleneck
    name = unique_name("bottleneck_pooling", {node.name for node in graph_def.node})
    if pooling in ("flatten", "none"):
        graph_def.node.append(new_constant(f"{name}/shape", np.array([-1, depth], np.int32)))
        graph_def.node.append(new_node(name, "Reshape", [bottleneck, f"{name}/shape"], T=FLOAT32))
        return name
    axes = f"{name}/axes"
    if shape is not None:
        graph_def.node.append(new_constant(axes, np.arange(1, len(shape) - 1, dtype=np.int32)))
    else:  # all axes but the first and last, worked out when the graph is run
        one, rank, last = f"{axes}/one", f"{axes}/rank", f"{axes}/last"
        graph_def.node.append(new_constant(one, np.int32(1)))
        graph_def.node.append(new_node(rank, "Rank", [bottleneck], T=FLOAT32))
        graph_def.node.append(new_node(last, "Sub", [rank, one], T=INT32))
        graph_def.node.append(new_node(axes, "Range", [one, last, one]))
    op = "Mean" if pooling == "avg" else "Max"
    graph_def.node.append(new_node(name, op, [bottleneck, axes], T=FLOAT32))
    return name


def _head_nodes(vector: str, head: Head, taken: set[str]) -> list[Any]:
    """Return the layer; its last node gives the logits."""
    depth, _ = head.weights.shape
    scope = unique_name("input", taken)
    ops = unique_name("final_training_ops", taken)
    fed = f"{scope}/BottleneckInputPlaceholder"
    weights, biases = f"{ops}/weights/final_weights", f"{ops}/biases/final_biases"
    product, total = f"{ops}/Wx_plus_b/MatMul", f"{ops}/Wx_plus_b/add"
    return [
        new_node(fed, "PlaceholderWithDefault", [vector], dtype=FLOAT32, shape=(None, depth)),
        new_constant(weights, head.weights),
        new_node(f"{weights}/read", "Identity", [weights], T=FLOAT32),
        new_constant(biases, head.biases),
        new_node(f"{biases}/read", "Identity", [biases], T=FLOAT32),
        new_node(product, "MatMul", [fed, f"{weights}/read"], T=FLOAT32),
        new_node(total, "Add", [product, f"{biases}/read"], T=FLOAT32),
    ]


def write_head(path: str, head: Head, labels: Sequence[str]) -> None:
    """Write the head and its labels for NumPy: `weights`, `biases` and `labels` in one `.npz`."""
    with files.replacing(path) as file:
        np.savez(file, weights=head.weights, biases=head.biases, labels=np.array(labels))


def write_checkpoint(path: str, head: Head) -> None:
    """Write the head's variables as a checkpoint, under retrain.py's names."""
    scope = "final_retrain_ops"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with system_errors(path):
        tf.raw_ops.SaveV2(
            prefix=path,
            tensor_names=[f"{scope}/biases/final_biases", f"{scope}/weights/final_weights"],
            shape_and_slices=["", ""],
            tensors=[head.biases, head.weights],
        )
