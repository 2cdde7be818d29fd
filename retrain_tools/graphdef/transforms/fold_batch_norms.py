"""Folds batch norms, and whatever else scales channels by constants, into the convolution before.

Old batch norms (`BatchNormWithGlobalNormalization`, removed at GraphDef version 9) never run fused,
and stop a graph from being used in a TensorFlow 2 function. Folded, the same network is a
convolution and a BiasAdd.

1. Behind a convolution (NHWC), the nodes are followed of which each is the only consumer of the one
   before, and which do x * scale + offset with constants for each channel: BiasAdd, Add, AddV2,
   Sub, Mul, the old batch norm, and FusedBatchNorm in inference. Nodes to be kept end the chain.
2. The chain is folded if it does more than one BiasAdd, and nothing else takes the kernel.
3. scale and offset of the whole chain are computed in float64. A batch norm's scale is
   gamma / sqrt(variance + epsilon), gamma only if scale_after_normalization for the old one; its
   offset is beta - mean * scale.
4. The kernel is multiplied by scale per output channel. The last node of the chain becomes a
   BiasAdd of the offset, under its own name; the others go.
5. Weights that have no consumer any more go.
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
from retrain_tools.graphdef.op_sets import FLOAT_CONVOLUTIONS, FUSED_BATCH_NORMS, OLD_BATCH_NORM
from retrain_tools.graphdef.walks import Successors, consumers
from retrain_tools.graphdef.weights import Weights, stand_in

_SUMS = ("BiasAdd", "Add", "AddV2")
_NHWC = (b"", b"NHWC")


class _Scaling(NamedTuple):
    """x * scale + offset; each a float64 number, or one for each channel."""

    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]


def fold_batch_norms(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Fold batch norms and scalings away; see the module."""
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes, used_by = nodes_by_name(result), consumers(result)
    used_outputs = {full_name(name) for node in result.node for name in node.input}
    gone: set[str] = set()
    for convolution in list(result.node):
        if not _is_foldable(convolution, used_by, weights):
            continue
        kernel_name = node_name(convolution.input[1])
        kernel = weights[kernel_name]
        is_depthwise = convolution.op == "DepthwiseConv2dNative"
        shape = kernel.shape[2:] if is_depthwise else kernel.shape[3:]
        scale, offset = np.ones(shape).reshape(-1), np.zeros(shape).reshape(-1)
        chain: list[Any] = []
        while (after := _only_consumer(chain[-1] if chain else convolution, used_by, keep)) and (
            step := _scaling(nodes, nodes[after], weights, len(scale), used_outputs)
        ):
            chain.append(nodes[after])
            scale, offset = scale * step.scale, offset * step.scale + step.offset
        if not chain or [node.op for node in chain] == ["BiasAdd"]:
            continue
        weights[kernel_name] = (kernel * scale.reshape(shape)).astype(np.float32)
        bias = unique_name(f"{chain[-1].name}/bias", nodes)
        weights[bias] = offset.astype(np.float32)
        nodes[bias] = stand_in(bias, weights[bias])
        result.node.append(nodes[bias])
        gone.update(node.name for node in chain[:-1])
        inputs = [convolution.name, bias]
        chain[-1].CopyFrom(new_node(chain[-1].name, "BiasAdd", inputs, T=FLOAT32))
    for node in result.node:
        if any(name.startswith("^") and node_name(name) in gone for name in node.input):
            left = [name for name in node.input if node_name(name) not in gone]
            node.input[:] = left
    still_used = consumers(copy_nodes(result, lambda node: node.name not in gone))
    unused = gone | {name for name in weights if name not in still_used and name not in keep}
    return (
        copy_nodes(result, lambda node: node.name not in unused),
        {name: array for name, array in weights.items() if name not in unused},
    )


def _is_foldable(convolution: Any, used_by: Successors, weights: Weights) -> bool:
    if convolution.op not in FLOAT_CONVOLUTIONS:
        return False
    if attribute(convolution, "data_format").s not in _NHWC:
        return False
    kernel = node_name(convolution.input[1])
    return kernel in weights and len(used_by[kernel]) == 1


def _only_consumer(node: Any, used_by: Successors, keep: Collection[str]) -> str | None:
    after = used_by.get(node.name, ())
    return after[0] if len(after) == 1 and node.name not in keep else None


def _scaling(
    nodes: Mapping[str, Any], node: Any, weights: Weights, channels: int, used: Collection[str]
) -> _Scaling | None:
    """Return what a node does to each of the channels, if it is nothing else; None if it is."""
    if node.op in FUSED_BATCH_NORMS or node.op == OLD_BATCH_NORM:
        return _batch_norm(nodes, node, weights, channels, used)
    if node.op not in (*_SUMS, "Sub", "Mul") or attribute(node, "data_format").s not in _NHWC:
        return None
    values = [constant_value(nodes, name, weights) for name in node.input[:2]]
    known = [value for value in values if value is not None]
    if len(known) != 1:
        return None
    by_channel = _by_channel(known[0], channels)
    if by_channel is None:
        return None
    if node.op == "Mul":
        return _Scaling(by_channel, np.zeros(()))
    if node.op == "Sub":
        is_first = values[0] is not None
        return _Scaling(np.array(-1.0 if is_first else 1.0), by_channel * (1 if is_first else -1))
    return _Scaling(np.ones(()), by_channel)


def _by_channel(value: npt.NDArray[Any], channels: int) -> npt.NDArray[np.float64] | None:
    """Return a constant that is broadcast along all but the channels as one number for each."""
    is_vector = value.size == 1 or (value.size == channels and value.shape[-1] == channels)
    if value.dtype != np.float32 or value.ndim > 4 or not is_vector:
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
