"""Folds batch norms, and whatever else scales channels by constants, into the layer before.

Old batch norms (`BatchNormWithGlobalNormalization`, removed at GraphDef version 9) never run fused,
and stop a graph from being used in a TensorFlow 2 function. Folded, the same network is a
convolution and a BiasAdd.

1. Arithmetic on constants is done first, as `fold_constants` does it: of a batch norm that is
   written out, as Keras 3 does, a factor and an offset are left.
2. Behind a convolution (NHWC) or a MatMul by weights, the nodes are followed of which each is the
   only consumer of the one before, and which do x * scale + offset with constants for each channel:
   BiasAdd, Add, AddV2, Sub, Mul, the old batch norm, and FusedBatchNorm (V1 to V3) in inference.
   Nodes to be kept end the chain.
3. The chain is folded if it does more than one BiasAdd, and nothing else takes the kernel. That of
   a MatMul is folded only if it scales. If nothing is folded, the graph stays as it was.
4. scale and offset of the whole chain are computed in float64. A batch norm's scale is
   gamma / sqrt(variance + epsilon), gamma only if scale_after_normalization for the old one; its
   offset is beta - mean * scale.
5. The kernel is multiplied by scale per output channel. The last node of the chain becomes a
   BiasAdd of the offset, under its own name; the others go. If there is no offset, the layer takes
   the name of the last node.
6. Constants that have no consumer any more go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    unique_name,
)
from retrain_tools.graphdef.op_sets import FLOAT_LAYERS, FUSED_BATCH_NORMS, OLD_BATCH_NORM
from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.walks import Successors, consumers
from retrain_tools.graphdef.weights import Weights, stand_in

_SUMS = ("BiasAdd", "Add", "AddV2")
_STEPS = (*_SUMS, "Sub", "Mul", OLD_BATCH_NORM, *FUSED_BATCH_NORMS)
_NHWC = (b"", b"NHWC")


class _Scaling(NamedTuple):
    """x * scale + offset; each a float64 number, or one for each channel."""

    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]


def fold_batch_norms(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Fold batch norms and scalings into the kernels of the layers before them.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay.

    Returns:
        The light graph and its weights; values differ by rounding only, 1e-5 relative.

    Example:
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> light, weights = fold_batch_norms(GraphDef(), {})
        >>> len(light.node)
        0
    """
    folded = fold_constants(light, weights, keep)
    return _fold(*folded, keep, _STEPS) or (copy_nodes(light, lambda _: True), dict(weights))


def fold_old_batch_norms(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Fold the batch norms of 2015 (BatchNormWithGlobalNormalization), and nothing else.

    A BiasAdd between the layer and its batch norm is folded with it. Arguments and result are those
    of `fold_batch_norms`.

    Example:
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> light, weights = fold_old_batch_norms(GraphDef(), {})
        >>> len(light.node)
        0
    """
    copied = copy_nodes(light, lambda _: True), dict(weights)
    return _fold(*copied, keep, ("BiasAdd", OLD_BATCH_NORM)) or copied


def _fold(
    light: Any, weights: Weights, keep: Collection[str], steps: Collection[str]
) -> tuple[Any, Weights] | None:
    """Fold chains of the ops `steps`; None if there is nothing to fold."""
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes, used_by = nodes_by_name(result), consumers(result)
    used_outputs = {full_name(name) for node in result.node for name in node.input}
    gone: set[str] = set()
    freed: set[str] = set()
    for layer in list(result.node):
        kernel = _kernel(layer, nodes, used_by, weights)
        if kernel is None:
            continue
        by_output = _by_output(layer, kernel)
        chain: list[Any] = []
        scale, offset = np.ones(by_output).reshape(-1), np.zeros(by_output).reshape(-1)
        rank = 2 if layer.op == "MatMul" else 4
        while (
            (after := _only_consumer(chain[-1] if chain else layer, used_by, keep))
            and nodes[after].op in steps
            and (step := _scaling(nodes, nodes[after], weights, (rank, len(scale)), used_outputs))
        ):
            chain.append(nodes[after])
            scale, offset = scale * step.scale, offset * step.scale + step.offset
        if not _is_worth_folding(layer, [node.op for node in chain], scale):
            continue
        kernel_name = node_name(layer.input[1])
        _set_weight(nodes[kernel_name], kernel * scale.reshape(by_output), weights)
        freed |= {node_name(name) for node in chain for name in node.input}
        gone |= {layer.name, *(node.name for node in chain)}
        _put_last(layer, chain[-1], offset, (result, nodes, weights), gone)
    if not freed:
        return None
    for node in result.node:
        if any(name.startswith("^") and node_name(name) in gone for name in node.input):
            left = [name for name in node.input if node_name(name) not in gone]
            node.input[:] = left
    result = copy_nodes(result, lambda node: node.name not in gone)
    return drop_freed(result, weights, freed, keep)


def _is_worth_folding(layer: Any, chain: list[str], scale: npt.NDArray[np.float64]) -> bool:
    if not chain or chain == ["BiasAdd"]:
        return False
    return layer.op != "MatMul" or bool((scale != 1).any())


def _put_last(
    layer: Any,
    last: Any,
    offset: npt.NDArray[np.float64],
    graph: tuple[Any, dict[str, Any], Weights],
    gone: set[str],
) -> None:
    """Make the chain's last node a BiasAdd of the offset, or the layer itself if there is none."""
    result, nodes, weights = graph
    name = last.name
    gone.remove(name)
    if not offset.any():
        last.CopyFrom(layer)
        last.name = name
        return
    gone.remove(layer.name)
    bias = unique_name(f"{name}/bias", nodes)
    nodes[bias] = result.node.add(name=bias)
    _set_weight(nodes[bias], offset, weights)
    biased = new_node(name, "BiasAdd", [layer.name, bias], T=FLOAT32)
    biased.device = last.device
    last.CopyFrom(biased)


def _set_weight(node: Any, value: npt.NDArray[Any], weights: Weights) -> None:
    weights[node.name] = value.astype(np.float32)
    made = stand_in(node.name, weights[node.name])
    made.device = node.device
    node.CopyFrom(made)


def _kernel(
    layer: Any, nodes: Mapping[str, Any], used_by: Successors, weights: Weights
) -> npt.NDArray[Any] | None:
    """Return the float32 kernel of a layer that can be folded into; None if it is none."""
    if layer.op not in FLOAT_LAYERS or attribute(layer, "data_format").s not in _NHWC:
        return None
    name = node_name(layer.input[1])
    if len(used_by[name]) != 1 or not (nodes[name].op == "Const" or name in weights):
        return None
    kernel = constant_value(nodes, name, weights)
    return kernel if kernel is not None and kernel.dtype == np.float32 else None


def _by_output(layer: Any, kernel: npt.NDArray[Any]) -> tuple[int, ...]:
    """Return the shape by which one number for each output channel goes along the kernel."""
    if layer.op == "MatMul":
        is_turned = attribute(layer, "transpose_b").b
        return (kernel.shape[0], 1) if is_turned else kernel.shape[1:]
    return kernel.shape[2:] if layer.op == "DepthwiseConv2dNative" else kernel.shape[3:]


def _only_consumer(node: Any, used_by: Successors, keep: Collection[str]) -> str | None:
    after = used_by.get(node.name, ())
    return after[0] if len(after) == 1 and node.name not in keep else None


def _scaling(
    nodes: Mapping[str, Any],
    node: Any,
    weights: Weights,
    form: tuple[int, int],
    used: Collection[str],
) -> _Scaling | None:
    """Return what a node does to each of the channels, if it is nothing else; None if it is.

    `form` is the rank of what it takes, and how many channels there are.
    """
    if node.op in FUSED_BATCH_NORMS or node.op == OLD_BATCH_NORM:
        return _batch_norm(nodes, node, weights, form[1], used)
    if node.op not in (*_SUMS, "Sub", "Mul") or attribute(node, "data_format").s not in _NHWC:
        return None
    values = [constant_value(nodes, name, weights) for name in node.input[:2]]
    known = [value for value in values if value is not None]
    if len(known) != 1:
        return None
    by_channel = _by_channel(known[0], *form)
    if by_channel is None:
        return None
    if node.op == "Mul":
        return _Scaling(by_channel, np.zeros(()))
    if node.op == "Sub":
        is_first = values[0] is not None
        return _Scaling(np.array(-1.0 if is_first else 1.0), by_channel * (1 if is_first else -1))
    return _Scaling(np.ones(()), by_channel)


def _by_channel(
    value: npt.NDArray[Any], rank: int, channels: int
) -> npt.NDArray[np.float64] | None:
    """Return a constant that is broadcast along all but the channels as one number for each."""
    is_vector = value.size == 1 or (value.size == channels and value.shape[-1] == channels)
    if value.dtype != np.float32 or value.ndim > rank or not is_vector:
        return None
    return value.astype(np.float64).reshape(-1)


def _batch_norm(
    nodes: Mapping[str, Any], node: Any, weights: Weights, channels: int, used: Collection[str]
) -> _Scaling | None:
    values = [constant_value(nodes, name, weights) for name in node.input[1:5]]
    if any(value is None or value.shape != (channels,) for value in values):
        return None
    first, second, third, fourth = (np.asarray(value, np.float64) for value in values)
    if node.op == OLD_BATCH_NORM:
        mean, variance, beta = first, second, third
        gamma = fourth if node.attr["scale_after_normalization"].b else np.ones(())
        epsilon = node.attr["variance_epsilon"].f
    else:
        others_used = any(f"{node.name}:{output}" in used for output in range(1, 6))
        is_training = node.attr["is_training"].b if "is_training" in node.attr else True
        if is_training or others_used or attribute(node, "data_format").s not in _NHWC:
            return None
        gamma, beta, mean, variance = first, second, third, fourth
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4  # nn_ops.cc
    scale = gamma / np.sqrt(variance + epsilon)
    return _Scaling(scale, beta - mean * scale)
