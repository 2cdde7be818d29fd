"""What the scores take of a graph: its features, seven channels of a map, its classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.constants import shape_of
from retrain_tools.graphdef.dtypes import FLOAT32, INT32
from retrain_tools.graphdef.fingerprint import fingerprint
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_node,
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.spec import FrozenGraph

FEATURES = "pool_3:0"
"""The features of FID, and of all scores but sFID: [N, 1, 1, 2048] of inception-2015-12-05."""

SPATIAL = "spatial"
"""What the values of sFID are called where they are stored: [N, 17 * 17 * 7]."""

MAP = "mixed_6/conv"
"""Where they are from (Nash et al. 2021): its first seven channels, after the rectifier."""

CHANNELS = 7
_LOGITS = "softmax/logits/MatMul"
_RESIZES = ("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor", "ResizeArea")


@dataclasses.dataclass(frozen=True)
class Network:
    """A graph, ready to be fetched from.

    Attributes:
        frozen: the graph, with a node more that gives the values of sFID.
        tensors: what to fetch, by the names that it is stored under: FEATURES, and SPATIAL where
            the graph has that map.
        pooling: how what is fetched becomes vectors.
        fingerprint: SHA-256 of all that the features depend on.
        weights: [depth, classes] of the classifier without its bias; None where there is none that
            has the original's names.
        resize: how images get the network's size, for people.
    """

    frozen: FrozenGraph
    tensors: Mapping[str, str]
    pooling: str
    fingerprint: str
    weights: npt.NDArray[Any] | None
    resize: str

    @property
    def is_original(self) -> bool:
        """Whether the graph has the nodes of inception-2015-12-05, whatever their weights are."""
        return SPATIAL in self.tensors and self.weights is not None


def network_of(frozen: FrozenGraph) -> Network:
    """Return what the scores take of a graph.

    A graph without `pool_3` gives the features of its bottleneck, averaged where that is a map.
    """
    nodes = nodes_by_name(frozen.graph_def)
    features = FEATURES if node_name(FEATURES) in nodes else frozen.spec.bottleneck
    tensors, pooling = {FEATURES: features}, "avg"
    if features == FEATURES and _has_channels(nodes):
        frozen, spatial = _with_channels(frozen)
        tensors, pooling = {FEATURES: features, SPATIAL: spatial}, "flatten"
    mark = fingerprint(frozen.graph_def, [features])
    return Network(frozen, tensors, pooling, mark, _weights(nodes), _resize(frozen, nodes))


def _has_channels(nodes: Mapping[str, Any]) -> bool:
    kernel = constant_node(nodes, f"{MAP}/conv2d_params")
    if MAP not in nodes or kernel is None:
        return False
    shape = shape_of(kernel.attr["value"].tensor)
    return shape is not None and shape[-1] >= CHANNELS


def _with_channels(frozen: FrozenGraph) -> tuple[FrozenGraph, str]:
    """Add the node that takes the first channels; the rest of the map would be 96 % of the file."""
    graph_def = copy_nodes(frozen.graph_def, lambda _: True)
    names = {node.name for node in graph_def.node}
    name = unique_name("retrain_tools/spatial", names)
    begin, size = np.zeros(4, np.int32), np.array([-1, -1, -1, CHANNELS], np.int32)
    graph_def.node.extend(
        [
            new_constant(f"{name}/begin", begin),
            new_constant(f"{name}/size", size),
            new_node(name, "Slice", [MAP, f"{name}/begin", f"{name}/size"], T=FLOAT32, Index=INT32),
        ]
    )
    return dataclasses.replace(frozen, graph_def=graph_def), f"{name}:0"


def _weights(nodes: Mapping[str, Any]) -> npt.NDArray[Any] | None:
    node = nodes.get(_LOGITS)
    if node is None or node.op != "MatMul" or len(node.input) < 2:
        return None
    weights = constant_value(nodes, node.input[1])
    if weights is None or weights.ndim != 2:
        return None
    return weights.T if attribute(node, "transpose_b").b else weights


def _resize(frozen: FrozenGraph, nodes: dict[str, Any]) -> str:
    spec = frozen.spec
    size = "×".join(map(str, spec.image_size))
    if spec.encoded_input is None:
        way = spec.resize or "TensorFlow 1's bilinear"
        return f"by {way} to {size}, before the graph"
    above = upstream(nodes, [spec.pixel_input])
    ways = [node.op for name, node in nodes.items() if name in above and node.op in _RESIZES]
    return f"in the graph by {' and '.join(ways) or 'its own ops'} to {size}"
