"""A graph as others may have run it: another batch norm epsilon, training mode, low precision.

Three forms of batch norms are known: TensorFlow's old and fused ops, and what Keras 3 writes out
as Rsqrt, Mul, Sub and AddV2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from retrain_tools.graphdef.build import fill_constant, new_constant, new_node
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.dtypes import FLOAT32, number_of
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_node,
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
)
from retrain_tools.graphdef.op_sets import FLOAT_LAYERS, FUSED_BATCH_NORMS, OLD_BATCH_NORM
from retrain_tools.graphdef.walks import consumers

_EPSILON = {OLD_BATCH_NORM: "variance_epsilon", **dict.fromkeys(FUSED_BATCH_NORMS, "epsilon")}
# What rounds its result in mixed precision, as Keras has it: batch norms are computed in float32.
_ROUNDED = (
    *(*FLOAT_LAYERS, *_EPSILON, "BiasAdd", "Relu", "Relu6", "Add", "AddV2"),
    *("AvgPool", "MaxPool", "Mean", "Concat", "ConcatV2", "Softmax", "Sigmoid", "Pad"),
)


class _WrittenOut(NamedTuple):
    """A batch norm in single nodes, by their names: x * factor + (beta - mean * factor).

    `inputs` is the tensor that is normalised; `sum` adds ε to the variance; `mean` is the node that
    multiplies the mean.
    """

    inputs: str
    sum: str
    mean: str


def batch_norm_epsilons(graph_def: Any) -> list[float]:
    """Return the epsilons of a graph's batch norms, each once; empty if it has none."""
    nodes = nodes_by_name(graph_def)
    found = {attribute(node, _EPSILON[node.op]).f for node in graph_def.node if node.op in _EPSILON}
    for norm in _written_out(graph_def):
        value = constant_value(nodes, nodes[norm.sum].input[1])
        found.add(float(np.asarray(value).reshape(-1)[0]))
    return sorted(float(np.float32(value)) for value in found)


def changed_graph(graph_def: Any, network: str, precision: str) -> Any:
    """Return a graph as `pipeline.Pipeline.network` and `precision` say; the same one for `own`."""
    if network == "own" and precision == "float32":
        return graph_def
    result = copy_nodes(graph_def, lambda _: True)
    kind, _, number = network.partition("_")
    if kind == "epsilon":
        _set_epsilon(result, float(number))
    elif kind == "training":
        _use_batch_statistics(result)
    if precision != "float32":
        low = "bfloat16" if precision.startswith("bfloat16") else "float16"
        is_stored = precision.endswith("weights")
        _round_weights(result, low, 0 if is_stored else 2)
        if not is_stored:
            _round_results(result, low)
    return result


def _written_out(graph_def: Any) -> Iterator[_WrittenOut]:
    nodes, after = nodes_by_name(graph_def), consumers(graph_def)
    for node in graph_def.node:
        if node.op != "Rsqrt":
            continue
        before = nodes[node_name(node.input[0])]
        if before.op not in ("Add", "AddV2") or constant_node(nodes, before.input[1]) is None:
            continue
        factor = node.name
        following = [nodes[name] for name in after.get(factor, ()) if nodes[name].op == "Mul"]
        # With a gamma, one product of constants stands between.
        if len(following) == 1 and _is_constant_product(nodes, following[0], factor):
            factor = following[0].name
            following = [nodes[name] for name in after.get(factor, ()) if nodes[name].op == "Mul"]
        inputs = mean = ""
        for product in following:
            other = next((n for n in product.input if node_name(n) != factor), "")
            if other and constant_node(nodes, other) is not None:
                mean = product.name
            elif other:
                inputs = full_name(other)
        if inputs and mean:
            yield _WrittenOut(inputs, before.name, mean)


def _is_constant_product(nodes: dict[str, Any], product: Any, factor: str) -> bool:
    others = [name for name in product.input if node_name(name) != factor]
    return len(others) == 1 and constant_node(nodes, others[0]) is not None


def _set_epsilon(graph_def: Any, epsilon: float) -> None:
    nodes = nodes_by_name(graph_def)
    for node in graph_def.node:
        if node.op in _EPSILON:
            node.attr[_EPSILON[node.op]].f = epsilon
    for norm in list(_written_out(graph_def)):
        constant: Any = constant_node(nodes, nodes[norm.sum].input[1])
        shape = np.asarray(array(constant.attr["value"].tensor)).shape
        name = constant.name
        constant.Clear()
        fill_constant(constant, name, np.full(shape, epsilon, np.float32))


def _use_batch_statistics(graph_def: Any) -> None:
    """Make every batch norm use the mean and variance of the batch, as in training."""
    nodes = nodes_by_name(graph_def)
    made = [new_constant("retrain_tools/axes", np.array([0, 1, 2], np.int32))]

    def statistics(scope: str, inputs: str) -> tuple[str, str]:
        names = [f"{scope}/batch_{part}" for part in ("mean", "squares", "variance")]
        for name, op, sources in (
            (names[0], "Mean", [inputs, made[0].name]),
            (names[1], "SquaredDifference", [inputs, names[0]]),
            (names[2], "Mean", [names[1], made[0].name]),
        ):
            made.append(new_node(name, op, sources, T=FLOAT32))
        return names[0], names[2]

    for norm in list(_written_out(graph_def)):
        mean, variance = statistics(norm.sum, norm.inputs)
        nodes[norm.sum].input[0] = variance
        product = nodes[norm.mean]
        constant = next(i for i, n in enumerate(product.input) if constant_node(nodes, n))
        product.input[constant] = mean
    for node in graph_def.node:
        if node.op == OLD_BATCH_NORM:
            node.input[1], node.input[2] = statistics(node.name, node.input[0])
        elif node.op in FUSED_BATCH_NORMS:
            node.input[3], node.input[4] = statistics(node.name, node.input[0])
    graph_def.node.extend(made)


def _round_weights(graph_def: Any, low: str, least_rank: int) -> None:
    """Round the constants of so many dimensions or more: kernels have at least two."""
    for node in graph_def.node:
        if node.op != "Const" or attribute(node, "dtype").type != FLOAT32:
            continue
        values = np.asarray(array(node.attr["value"].tensor))
        if values.ndim < least_rank:
            continue
        name, rounded = node.name, rounded_to(values, low)
        node.Clear()
        fill_constant(node, name, rounded)


def rounded_to(values: Any, low: str) -> Any:
    """Return float32 values rounded to `float16` or `bfloat16`, as float32."""
    values = np.ascontiguousarray(values, np.float32)
    if low == "float16":
        return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).reshape(values.shape)


def _round_results(graph_def: Any, low: str) -> None:
    """Round what each layer takes and makes; the rounded values get the layer's name."""
    number = number_of(np.dtype(np.float16)) if low == "float16" else _BFLOAT16
    in_norms = {norm.sum for norm in _written_out(graph_def)}
    made: list[Any] = []

    def rounded(source: str, name: str) -> str:
        made.append(new_node(f"{name}/low", "Cast", [source], SrcT=FLOAT32, DstT=number))
        made.append(new_node(name, "Cast", [f"{name}/low"], SrcT=number, DstT=FLOAT32))
        return name

    for node in graph_def.node:
        if node.name in in_norms or attribute(node, "T").type not in (0, FLOAT32):
            continue
        if node.op in FLOAT_LAYERS:
            node.input[0] = rounded(node.input[0], f"{node.name}/taken")
        if node.op in _ROUNDED:
            name, node.name = node.name, f"{node.name}/exact"
            rounded(node.name, name)
    graph_def.node.extend(made)


_BFLOAT16 = 14  # DT_BFLOAT16 of tensorflow/core/framework/types.proto
