"""For each op that came up after TensorFlow 1.2, how it was written before; what `legacy` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import FLOAT32, INT32, dtype_of, numpy_dtype
from retrain_tools.graphdef.navigate import attribute, constant_value, full_name, unique_name
from retrain_tools.graphdef.op_sets import FLOAT_CONVOLUTIONS
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.transforms.flatten_atrous_conv import with_holes
from retrain_tools.graphdef.transforms.rewriting import Rewriting, data_inputs
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in

_NHWC = (b"", b"NHWC")


class Backward(Rewriting):
    """A light graph that is being written with older ops.

    Attributes:
        weights: its weights, which may be added to.
        shapes: of its tensors, by full name.
        reasons: for nodes that could not be written anew, why.
    """

    def __init__(self, light: Any, weights: Weights, shapes: Mapping[str, Shape | None]) -> None:
        super().__init__(light)
        self.weights = weights
        self.shapes = shapes
        self.reasons: dict[str, str] = {}

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """Return the array of a constant; None if it is none."""
        return constant_value(self.nodes, name, self.weights)

    def shape(self, name: str) -> Shape | None:
        """Return the shape of what a node takes as `name`; None where it is not known."""
        return self.shapes.get(full_name(name))

    def array(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add a constant of any size, under a name like `name`, and return its name."""
        name = unique_name(name, self.nodes)
        if value.size <= LARGEST_VALUE_KEPT:
            self.put(new_constant(name, value))
        else:
            self.weights[name] = value
            self.put(stand_in(name, value))
        return name


Form = Callable[[Backward, Any], None]


def _renamed(op: str) -> Form:
    return lambda graph, node: graph.replace(node, op, data_inputs(node))


def _first_input(graph: Backward, node: Any) -> None:
    graph.replace(node, "Identity", data_inputs(node)[:1], T=attribute(node, "T"))


def _batch_mat_mul(graph: Backward, node: Any) -> None:
    """BatchMatMul takes equal batches; the later ones spread them."""
    batches = [shape and shape[:-2] for shape in map(graph.shape, data_inputs(node))]
    kinds = {attribute(node, key).type for key in ("Ta", "Tb", "Tout")} - {0}
    if None in batches or batches[0] != batches[1] or len(kinds) > 1:
        graph.reasons[node.name] = "its two batches are not known to be of one shape"
        return
    said = {"T": kinds.pop()} if kinds else {}
    graph.replace(node, "BatchMatMul", data_inputs(node), **said)


def _fused_batch_norm(graph: Backward, node: Any) -> None:
    later = {f"{node.name}:5"} & {name for other in graph.light.node for name in other.input}
    if later:
        graph.reasons[node.name] = f"{later.pop()} is used"
    elif attribute(node, "T").type == attribute(node, "U").type == FLOAT32:
        graph.replace(node, "FusedBatchNorm", data_inputs(node))
    elif node.op == "FusedBatchNormV3":
        graph.replace(node, "FusedBatchNormV2", data_inputs(node))


def _gather(graph: Backward, node: Any) -> None:
    params, indices, axis = data_inputs(node)
    value = graph.value(axis)
    if value is None or value.item() != 0 or attribute(node, "batch_dims").i:
        graph.reasons[node.name] = "its axis is not the first"
        return
    graph.replace(node, "Gather", [params, indices])


def _select(graph: Backward, node: Any) -> None:
    shapes = [graph.shape(name) for name in data_inputs(node)]
    if shapes[0] is None or shapes.count(shapes[0]) != 3 or None in shapes[0][1:]:
        graph.reasons[node.name] = "its inputs are not known to be of one shape"
        return
    graph.replace(node, "Select", data_inputs(node))


def _leaky_relu(graph: Backward, node: Any) -> None:
    alpha = node.attr["alpha"].f if "alpha" in node.attr else 0.2  # nn_ops.cc
    dtype = dtype_of(attribute(node, "T").type or FLOAT32)
    kind = None if dtype is None else numpy_dtype(dtype)
    said = {"T": attribute(node, "T").type or FLOAT32}
    [x] = data_inputs(node)
    slope = graph.constant(f"{node.name}/alpha", np.array(alpha, kind))
    below = graph.add(f"{node.name}/below", "Mul", [x, slope], **said)
    graph.replace(node, "Maximum" if alpha <= 1 else "Minimum", [x, below], **said)


def _clip_by_value(graph: Backward, node: Any) -> None:
    x, low, high = data_inputs(node)
    below = graph.add(f"{node.name}/below", "Minimum", [x, high], T=attribute(node, "T"))
    graph.replace(node, "Maximum", [below, low])


def _broadcast_to(graph: Backward, node: Any) -> None:
    """Numbers are multiplied by ones of the shape."""
    x, shape = data_inputs(node)
    dtype = dtype_of(attribute(node, "T").type)
    kind = None if dtype is None else numpy_dtype(dtype)
    if kind is None or kind.kind not in "iuf" or attribute(node, "Tidx").type not in (0, INT32):
        graph.reasons[node.name] = "it spreads no numbers"
        return
    said = {"T": attribute(node, "T")}
    one = graph.constant(f"{node.name}/one", np.array(1, kind))
    ones = graph.add(f"{node.name}/ones", "Fill", [shape, one], **said)
    graph.replace(node, "Mul", [x, ones])


def _pad(graph: Backward, node: Any) -> None:
    x, paddings, value = data_inputs(node)
    constant = graph.value(value)
    if constant is None or constant.any():
        graph.reasons[node.name] = "it pads with other values than 0"
        return
    graph.replace(node, "Pad", [x, paddings])


def _dilated(graph: Backward, node: Any) -> None:
    """The same convolution by a kernel with holes."""
    x, kernel_name = data_inputs(node)
    kernel, dilations = graph.value(kernel_name), list(attribute(node, "dilations").list.i)
    is_plain = node.op in FLOAT_CONVOLUTIONS and attribute(node, "data_format").s in _NHWC
    if kernel is None or not is_plain or len(dilations) != 4:
        graph.reasons[node.name] = "only a constant kernel, channels last, gets its holes"
        return
    wide = with_holes(kernel, (dilations[1], dilations[2]))
    del node.attr["dilations"]
    graph.replace(node, node.op, [x, graph.array(f"{node.name}/with_holes", wide)])


def _explicitly_padded(graph: Backward, node: Any) -> None:
    """A Pad, and a convolution that pads no more."""
    numbers = list(attribute(node, "explicit_paddings").list.i)
    if node.op not in FLOAT_CONVOLUTIONS or len(numbers) != 8:
        graph.reasons[node.name] = "only paddings of convolutions are written as a Pad"
        return
    x, kernel = data_inputs(node)
    said = {"T": attribute(node, "T"), "Tpaddings": INT32}
    amounts = graph.constant(f"{node.name}/paddings", np.array(numbers, np.int32).reshape(4, 2))
    padded = graph.add(f"{node.name}/padded", "Pad", [x, amounts], **said)
    del node.attr["explicit_paddings"]
    graph.replace(node, node.op, [padded, kernel], padding="VALID")


FORMS: dict[str, Form] = {
    "AddV2": _renamed("Add"),
    "BatchMatMulV2": _batch_mat_mul,
    "BatchMatMulV3": _batch_mat_mul,
    "BroadcastTo": _broadcast_to,
    "CheckNumericsV2": _renamed("CheckNumerics"),
    "ClipByValue": _clip_by_value,
    "EnsureShape": _first_input,
    "FusedBatchNormV2": _fused_batch_norm,
    "FusedBatchNormV3": _fused_batch_norm,
    "GatherV2": _gather,
    "LeakyRelu": _leaky_relu,
    "PadV2": _pad,
    "SelectV2": _select,
    "Snapshot": _first_input,
}
"""What is done to a node of each op that is too young. One that cannot be written stays."""

ATTRIBUTE_FORMS: dict[str, Form] = {
    "dilations": _dilated,
    "explicit_paddings": _explicitly_padded,
}
"""What is done to a node that has such an attribute, which is too young and no default."""
