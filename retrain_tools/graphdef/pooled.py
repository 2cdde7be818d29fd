"""Whether a tensor is a pooled vector or a feature map, and how it was pooled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from retrain_tools.graphdef.navigate import constant_node, full_name, node_name
from retrain_tools.graphdef.op_sets import CONCATENATIONS, CONVOLUTIONS, MATRIX_PRODUCTS
from retrain_tools.graphdef.pooling_steps import Step, pooling_step, sizes
from retrain_tools.graphdef.purposes import before_dropout
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import shape_text
from retrain_tools.text_tables import counted

_UNKNOWN = Step("unknown", "how it was pooled cannot be told")
# What makes one value of each channel.
_OF_CHANNELS = ("average", "maximum", "sum", "token", "attention")


@dataclasses.dataclass(frozen=True)
class Pooled:
    """What a tensor holds for one image, and how it came out of the last feature map.

    Attributes:
        tensor: its full name.
        role: `bottleneck`, `result`, or both.
        shape: its shape, as far as it is known.
        form: `vector`; `map` for [N, h, w, channels]; `tokens` for [N, tokens, channels];
            `unknown` where the shape does not say.
        depth: values in the vector, or channels of what is no vector; None where it is not known.
        pooling: what made a vector: `average`, `maximum`, `sum`, `flatten`, `token`, `attention`,
            `layer` (with weights, over the whole map), `joined` (several side by side), `unknown`;
            `none` for what is no vector.
        how: the same in words: `global average of [7, 7, 1280]`; empty for what is no vector.
        layers: how many layers with weights stand between the pooling and the tensor.
        before: the tensor that was pooled; None where there is none.
        before_shape: its shape.
    """

    tensor: str
    role: str
    shape: Shape | None
    form: str
    depth: int | None
    pooling: str
    how: str
    layers: int = 0
    before: str | None = None
    before_shape: Shape | None = None

    @property
    def what(self) -> str:
        """The form in words: `a vector of 1,280`, `a feature map [7, 7, 1280]`."""
        match self.form:
            case "vector":
                return "a vector" if self.depth is None else f"a vector of {self.depth:,}"
            case "map":
                return f"a feature map {_inner(self.shape)}"
            case "tokens":
                return f"tokens {_inner(self.shape)}"
        return "of unknown shape"

    @property
    def way(self) -> str:
        """How the vector came about, with the layers after the pooling; empty for a map."""
        after = f", then {counted(self.layers, 'layer')} with weights" if self.layers else ""
        return f"{self.how}{after}" if self.how else ""

    @property
    def answer(self) -> str:
        """One line that says whether GlobalAveragePooling2D has to be added."""
        vector = f"a vector of {self.depth:,}" if self.depth else "a vector"
        match self.form, self.pooling:
            case "unknown", _:
                return f"cannot be told: the shape of {self.tensor} is not known"
            case "map", _:
                return (
                    f"no, {self.what}; GlobalAveragePooling2D, here --pooling=avg, makes {vector}"
                )
            case "tokens", _:
                return (
                    f"no, {self.what}; GlobalAveragePooling1D, here --pooling=avg, makes {vector}"
                )
            case _, "flatten" if not self.layers:
                depth = self.before_shape[-1] if self.before_shape else None
                tap = f"--bottleneck_tensor={self.before} --pooling=avg makes a vector"
                return (
                    f"no, {self.what}, {self.how}, to which no "
                    f"GlobalAveragePooling2D can be added; {tap}"
                    + (f" of {depth:,}" if depth else "")
                )
        return f"yes, {self.what} ({self.way}); no GlobalAveragePooling2D is needed"


def find_pooling(
    nodes: Mapping[str, Any], shapes: Mapping[str, Shape | None], tensor: str, role: str
) -> Pooled:
    """Tell how a tensor came out of the last feature map.

    The walk goes up from the tensor along what its values are made of, through what leaves the
    number of places as it is, to the first op that made one place of many.

    Args:
        nodes: the graph's nodes by name.
        shapes: the shapes of its tensors by full name.
        tensor: full tensor name.
        role: what it is for the reader of a summary, see `Pooled`.

    Example:
        >>> find_pooling(nodes_by_name(graph_def), shapes, "pool_3/_reshape:0", "bottleneck").way
        'global average of [8, 8, 2048]'
    """
    shape = shapes.get(tensor)
    form, depth = _form(shape)
    if form in ("map", "tokens"):
        return Pooled(tensor, role, shape, form, depth, "none", "")
    step, layers = _walk(nodes, shapes, tensor)
    seen = None if step.before is None else shapes.get(step.before)
    if form == "unknown" and shape is None and step is not _UNKNOWN:
        form = "vector"
        depth = seen[-1] if seen and step.pooling in _OF_CHANNELS and not layers else None
    elif form == "unknown":
        return Pooled(tensor, role, shape, form, None, "unknown", "")
    return Pooled(
        tensor, role, shape, form, depth, step.pooling, step.how, layers, step.before, seen
    )


def _form(shape: Shape | None) -> tuple[str, int | None]:
    """Return what a shape is of, and the depth."""
    if shape is None or not 2 <= len(shape) <= 4:
        return "unknown", None
    places = shape[1:-1]
    if all(size == 1 for size in places):
        return "vector", shape[-1]
    if len(shape) == 4 and shape[2:] == (1, 1):  # channels first
        return "vector", shape[1]
    return ("tokens" if len(shape) == 3 else "map"), shape[-1]


def _inner(shape: Shape | None) -> str:
    """Return the shape for one image."""
    return shape_text(None if shape is None else shape[1:])


def _walk(
    nodes: Mapping[str, Any], shapes: Mapping[str, Shape | None], tensor: str
) -> tuple[Step, int]:
    """Return the step that made a vector, and how many layers with weights come after it."""
    name, layers, seen = tensor, 0, set()
    while name not in seen:
        seen.add(name)
        node = nodes.get(node_name(name))
        if node is None:
            break
        if (step := pooling_step(nodes, shapes, node)) is not None:
            return step, layers
        if _is_of_places(shapes.get(name)):
            break
        inputs = [full_name(i) for i in node.input if not i.startswith("^")]
        data = [i for i in inputs if constant_node(nodes, i) is None]
        if node.op in CONCATENATIONS and len(data) > 1:
            return _joined(nodes, shapes, data), layers
        if not data:
            break
        before = _main(shapes, name, data)
        if node.op in (*MATRIX_PRODUCTS, *CONVOLUTIONS) or _is_product(node, inputs, data):
            if node.op in CONVOLUTIONS and (taken := _takes_all(shapes, node, before)):
                return taken, layers
            layers += 1
        name = (
            before
            if node.op not in ("Mul", "Select", "SelectV2")
            else _undropped(nodes, name, before)
        )
    return _UNKNOWN, layers


def _is_of_places(shape: Shape | None) -> bool:
    """Tell whether a tensor has several places, though it came about without a pooling.

    What attention gives for one query has an axis of 1 and one of its heads.
    """
    form, _ = _form(shape)
    return form in ("map", "tokens") and shape is not None and shape[1] != 1


def _undropped(nodes: Mapping[str, Any], name: str, before: str) -> str:
    """Return what dropout is applied to where a product is dropout's, else `before`."""
    found = before_dropout(nodes, name) if len(nodes[node_name(name)].input) > 1 else name
    return before if found == name else found


def _is_product(node: Any, inputs: list[str], data: list[str]) -> bool:
    """Tell whether an Einsum multiplies by weights, as Keras's dense layers on tokens do."""
    return node.op == "Einsum" and len(inputs) == 2 and len(data) == 1


def _main(shapes: Mapping[str, Shape | None], name: str, data: list[str]) -> str:
    """Return the input that goes on: the first of the output's own shape, else the first."""
    wanted = shapes.get(name)
    alike = (i for i in data if wanted is not None and shapes.get(i) == wanted)
    return next(alike, data[0])


def _takes_all(shapes: Mapping[str, Shape | None], node: Any, before: str) -> Step | None:
    """Return the step of a convolution as large as its map; None for one that is a dense layer."""
    shape = shapes.get(before)
    taken = sizes(shape)
    if taken is None or all(size == 1 for size in taken):
        return None
    return Step("layer", f"the layer {node.name} takes all of {_inner(shape)}", before)


def _joined(nodes: Mapping[str, Any], shapes: Mapping[str, Shape | None], data: list[str]) -> Step:
    """Return the step of several vectors side by side."""
    steps = [_walk(nodes, shapes, name)[0] for name in data]
    if any(step.pooling == "unknown" for step in steps):
        return _UNKNOWN
    hows = list(dict.fromkeys(step.how for step in steps))
    places = [step.before for step in steps if step.before is not None]
    largest = max(places, key=lambda name: math.prod(s or 1 for s in shapes.get(name) or ()))
    return Step("joined", f"{' and '.join(hows)}, side by side", largest)
