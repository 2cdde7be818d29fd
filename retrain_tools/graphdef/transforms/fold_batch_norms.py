"""Folds BatchNormWithGlobalNormalization into the convolution before it.

The op was removed at GraphDef version 9, never runs fused, and stops a graph from being used in a
TensorFlow 2 function. Folded, the same network is a convolution and a BiasAdd.

1. A batch norm is folded if its statistics are constants, its input is a convolution (NHWC) that
   need not be kept, and neither the convolution nor its kernel has another consumer.
2. scale = gamma / sqrt(variance + epsilon), gamma only if scale_after_normalization.
3. The kernel is multiplied by scale per output channel.
4. The batch norm becomes a BiasAdd of beta - mean * scale, under its own name.
5. Weights that have no consumer any more go.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
)
from retrain_tools.graphdef.op_sets import FLOAT_CONVOLUTIONS, OLD_BATCH_NORM
from retrain_tools.graphdef.walks import Successors, consumers
from retrain_tools.graphdef.weights import Weights, stand_in


def fold_batch_norms(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Fold BatchNormWithGlobalNormalization away; see the module."""
    nodes = nodes_by_name(light)
    used_by = consumers(light)
    weights = dict(weights)
    result = copy_nodes(light, lambda _: True)
    biases = []
    for node in result.node:
        if node.op != OLD_BATCH_NORM:
            continue
        convolution = nodes[node_name(node.input[0])]
        statistics = [constant_value(nodes, name, weights) for name in node.input[1:5]]
        if convolution.name in keep or any(value is None for value in statistics):
            continue
        if not _is_foldable(convolution, used_by, weights):
            continue
        mean, variance, beta, gamma = (np.asarray(value, np.float64) for value in statistics)
        scale = 1.0 / np.sqrt(variance + node.attr["variance_epsilon"].f)
        if node.attr["scale_after_normalization"].b:
            scale = scale * gamma
        kernel_name = node_name(convolution.input[1])
        kernel = weights[kernel_name]
        is_depthwise = convolution.op == "DepthwiseConv2dNative"
        per_output = scale.reshape(kernel.shape[2:]) if is_depthwise else scale
        weights[kernel_name] = (kernel * per_output).astype(np.float32)
        bias = unique_name(f"{node.name}/bias", nodes)
        weights[bias] = (beta - mean * scale).astype(np.float32)
        biases.append(stand_in(bias, weights[bias]))
        node.CopyFrom(new_node(node.name, "BiasAdd", [node.input[0], bias], T=FLOAT32))
    result.node.extend(biases)
    still_used = consumers(result)
    return (
        copy_nodes(result, lambda node: node.name not in weights or node.name in still_used),
        {name: array for name, array in weights.items() if name in still_used},
    )


def _is_foldable(convolution: Any, used_by: Successors, weights: Weights) -> bool:
    if convolution.op not in FLOAT_CONVOLUTIONS:
        return False
    if attribute(convolution, "data_format").s not in (b"", b"NHWC"):
        return False
    kernel_name = node_name(convolution.input[1])
    alone = len(used_by[convolution.name]) == 1 and len(used_by[kernel_name]) == 1
    return alone and kernel_name in weights
