"""What a body's nodes take that a Keras layer is made of: tensors, and constants beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    full_name,
    node_name,
    nodes_by_name,
)
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.walks import consumers
from retrain_tools.graphdef.weights import Weights

# Of these, inputs after the first say how, as constants or worked out from the shape of the first.
_ONE_TENSOR = ("Reshape", "Squeeze", "ExpandDims", "Mean", "Max", "Transpose", "Pad", "PadV2")
_NHWC = (b"", b"NHWC")


class NoLayerError(Exception):
    """A node that no Keras layer computes; the message is the reason, after the node's name."""


class Body:
    """A light graph from prepared pixels to fetches, read for making layers of it.

    Attributes:
        nodes: the nodes by name.
        weights: the large constants.
        shapes: the shape of each tensor under its full name, as TensorFlow infers it.
        keep: names of nodes that are fetched.
    """

    def __init__(
        self,
        light: Any,
        weights: Weights,
        shapes: Mapping[str, Shape | None],
        keep: Collection[str],
    ) -> None:
        self.nodes, self.weights = nodes_by_name(light), weights
        self.shapes, self.keep = shapes, keep
        self._after = consumers(light)
        self._used = {full_name(name) for node in light.node for name in node.input}

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """Return the value of the constant behind an input; None if it is none."""
        return constant_value(self.nodes, name, self.weights)

    def sources(self, node: Any) -> list[str]:
        """Return the full names of the tensors that a node computes with, constants left out."""
        data = [name for name in node.input if not name.startswith("^")]
        if node.op in _ONE_TENSOR:
            data = data[:1]
        return [full_name(name) for name in data if self.constant(name) is None]

    def only_consumer(self, node: Any) -> Any | None:
        """Return the node that alone takes what `node` makes; None if it is fetched, or there are
        others.
        """  # noqa: D205
        after = self._after.get(node.name, ())
        is_free = len(after) == 1 and node.name not in self.keep
        return self.nodes[after[0]] if is_free else None

    def chain(self, first: Any, last: Any) -> list[str]:
        """Return the names of the nodes after `first` to `last`, each the only consumer before."""
        names, node = [], first
        while node.name != last.name and (node := self.only_consumer(node)) is not None:
            names.append(node.name)
        return names

    def is_used(self, tensor: str) -> bool:
        """Tell whether a node takes the tensor of that full name."""
        return tensor in self._used

    def target_shape(self, node: Any) -> tuple[int, ...]:
        """Return what a node makes of one image.

        Raises:
            NoLayerError: it is not known, or the images of a batch do not stay apart.
        """
        made = self.shapes.get(f"{node.name}:0")
        if made is None or not made or None in made[1:] or made[0] is not None:
            raise NoLayerError("makes a shape that is not known, or not one for each image")
        return tuple(size for size in made[1:] if size is not None)


def known(body: Body, node: Any, index: int) -> npt.NDArray[Any]:
    """Return the constant that a node takes as its input `index`.

    Raises:
        NoLayerError: it is computed.
    """
    value = body.constant(node.input[index])
    if value is None:
        raise NoLayerError(f"takes {node_name(node.input[index])!r}, which is no constant")
    return value


def check_nhwc(node: Any) -> None:
    """Raise NoLayerError for a node that has channels first: no layer runs so on a CPU."""
    if attribute(node, "data_format").s not in _NHWC:
        raise NoLayerError(f"has data_format={node.attr['data_format'].s.decode()}, not NHWC")


def sizes(node: Any, key: str) -> tuple[int, int]:
    """Return height and width in a list attribute for NHWC; (1, 1) where it is left out.

    Raises:
        NoLayerError: it is for batch or channels as well.
    """
    listed: Sequence[int] = list(attribute(node, key).list.i) or [1, 1, 1, 1]
    if len(listed) != 4 or listed[0] != 1 or listed[3] != 1:
        raise NoLayerError(f"has {key}={listed}")
    return listed[1], listed[2]


def vector(value: npt.NDArray[Any] | None, channels: int) -> npt.NDArray[np.float32] | None:
    """Return a constant that is broadcast along all but the channels, one number for each.

    Returns:
        float32 [channels], or [] for one number that is for all; None if it is something else.
    """
    if value is None or value.dtype != np.float32:
        return None
    if value.size == 1 and value.ndim <= 4:
        return value.reshape(())
    is_for_channels = value.size == channels and value.ndim <= 4 and value.shape[-1] == channels
    return value.reshape(-1) if is_for_channels else None
