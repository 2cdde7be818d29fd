"""The layers that all slim networks are written in: rows of a table, and those that fit in none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from retrain_tools.slim.folding import (
    Norm,
    folded_kernel,
    joined_separable,
    norm_factor,
    norm_offset,
    scaled,
)
from retrain_tools.slim.plan import Plan, Tensor, Variant
from retrain_tools.slim.rows import AvgPool, Branches, Conv, Fork, MaxPool, Padding, Row, Size


class Network(Plan):
    """A network that is laid out layer by layer.

    Nodes are named after the variables they stand for. A constant that is a variable as it is has
    that variable's name; one with a batch norm in it is called `folded_…`.
    """

    def __init__(
        self,
        scope: str,
        variant: Variant,
        norm: Norm | None = None,
        activation: Literal["Relu", "Relu6"] = "Relu",
    ) -> None:
        """Begin with the image.

        Args:
            scope: of all nodes and variables.
            variant: size, classes and so on.
            norm: the batch norm of the family's layers; None where they have biases.
            activation: the op after them.
        """
        super().__init__(scope, variant)
        self._norm = norm
        self._activation = activation

    def chain(self, x: Tensor, rows: Sequence[Row], end_points: str | None = None) -> Tensor:
        """Lay out rows one after the other; `end_points` and its name make each an end point."""
        for row in rows:
            match row:
                case Fork():
                    return self.concat([self.conv(x, *row.one), self.conv(x, *row.other)])
                case Conv():
                    x = self.conv(x, *row)
                case MaxPool() | AvgPool():
                    x = self.pool(x, row)
            if end_points is not None:
                self.end_point(f"{end_points}{row.name}", x)
        return x

    def branches(self, x: Tensor, branches: Branches) -> Tensor:
        """Lay out branches of the same input, and join their channels."""
        ends = []
        for number, rows in enumerate(branches):
            with self.scope(f"Branch_{number}"):
                ends.append(self.chain(x, rows))
        return self.concat(ends)

    def mixed(self, x: Tensor, name: str, branches: Branches) -> Tensor:
        """Lay out an Inception block as end point `name`."""
        with self.scope(name):
            return self.end_point(name, self.branches(x, branches))

    def conv(
        self,
        x: Tensor,
        name: str,
        size: Size,
        channels: int,
        stride: int = 1,
        padding: Padding = "SAME",
        *,
        normed: bool = True,
        activated: bool = True,
        scale: float = 1.0,
    ) -> Tensor:
        """Lay out a convolution.

        Args:
            x: its input.
            name: its scope.
            size: of the kernel.
            channels: number of outputs.
            stride: in both directions.
            padding: SAME, VALID, or EVEN: as much on all sides (slim's conv2d_same), for odd sizes.
                With a stride, SAME pads less at the left and the top, or not, depending on the size
                of the image.
            normed: with the family's batch norm, if it has one; else with biases.
            activated: with the family's activation.
            scale: a factor on the output of a layer without norm and activation.
        """
        window = size if isinstance(size, tuple) else (size, size)
        with self.scope(name):
            if padding == "EVEN":
                padding = "SAME" if stride == 1 else "VALID"
                x = x if stride == 1 else self._pad(x, window[0] // 2)
            shape = (*window, x.shape[2], channels)
            if normed and self._norm:
                weights, biases = self._fold(self.variable("weights", shape), channels, axis=3)
            else:
                weights = self._plain_weight("weights", shape, scale)
                biases = self._plain_weight("biases", (channels,), scale)
            x = self._convolve(x, "Conv2D", weights, window, channels, stride, padding)
            return self._add_bias(x, biases, activated)

    def depthwise(self, x: Tensor, name: str, size: int, stride: int) -> Tensor:
        """Lay out a convolution of each channel by itself, with the family's norm and activation.

        Only for families with a batch norm.
        """
        channels = x.shape[2]
        with self.scope(name):
            kernel = self.variable("depthwise_weights", (size, size, channels, 1))
            weights, biases = self._fold(kernel, channels, axis=2)
            op = "DepthwiseConv2dNative"
            x = self._convolve(x, op, weights, (size, size), channels, stride, "SAME")
            return self._add_bias(x, biases, activated=True)

    def separable_conv(
        self, x: Tensor, name: str, size: int, channels: int, stride: int, multiplier: int
    ) -> Tensor:
        """Lay out a separable convolution with biases and no norm, as the one kernel it amounts to.

        Nothing but a product of kernels is between the depthwise and the pointwise half, and one
        dense convolution of few input channels is faster than the two. For each input, the
        depthwise half has `multiplier` outputs; the other arguments are those of `conv`.
        """
        inputs = x.shape[2]
        with self.scope(name):
            depthwise = self.variable("depthwise_weights", (size, size, inputs, multiplier))
            pointwise = self.variable("pointwise_weights", (1, 1, inputs * multiplier, channels))
            recipe = joined_separable(depthwise, pointwise)
            weights = self.weight("folded_weights", (size, size, inputs, channels), recipe)
            biases = self._plain_weight("biases", (channels,))
            x = self._convolve(x, "Conv2D", weights, (size, size), channels, stride, "SAME")
            return self._add_bias(x, biases, activated=True)

    def fully_connected(self, x: Tensor, name: str, channels: int) -> Tensor:
        """Lay out a matrix product with biases, without norm and activation."""
        [inputs] = x.shape
        with self.scope(name):
            kernel = self._plain_weight("weights", (inputs, channels))
            biases = self._plain_weight("biases", (channels,))
            x = self.node("MatMul", "MatMul", [x.node, kernel], (channels,))
            return self._add_bias(x, biases, activated=False)

    def norm_and_activation(self, x: Tensor, name: str) -> Tensor:
        """Lay out a batch norm that has no convolution before it, and the activation."""
        channels = x.shape[2]
        norm, scope = self._norm_at(name, channels)
        with self.scope(name):
            factor = self.weight("folded_factor", (channels,), norm_factor(norm, scope))
            offset = self.weight("folded_offset", (channels,), norm_offset(norm, scope))
            x = self.node("mul", "Mul", [x.node, factor], x.shape)
            x = self.node("add", "AddV2", [x.node, offset], x.shape)
            return self.activate(x)

    def activate(self, x: Tensor) -> Tensor:
        """Lay out the family's activation."""
        return self.node(self._activation, self._activation, [x.node], x.shape)

    def pool(self, x: Tensor, row: MaxPool | AvgPool) -> Tensor:
        """Lay out a pool."""
        op, window = type(row).__name__, (row.size, row.size)
        return self._pool(x, f"{row.name}/{op}", op, window, row.stride, row.padding)

    def global_pool(self, x: Tensor, name: str) -> Tensor:
        """Lay out the mean over the whole grid as node `name`; the result is [batch, 1, 1, c].

        Some of the originals pool a window of the size that the grid has for their own image
        size, or less for smaller images. That is the same, and larger images go as well.
        """
        height, width, _ = x.shape
        return self._pool(x, name, "AvgPool", (height, width), 1, "VALID")

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Lay out the join of tensors along their channels."""
        height, width, _ = parts[0].shape
        inputs = [*(part.node for part in parts), self.constant("concat/axis", np.int32(3))]
        shape = (height, width, sum(part.shape[2] for part in parts))
        return self.node("concat", "ConcatV2", inputs, shape, N=len(parts))

    def add(self, one: Tensor, other: Tensor) -> Tensor:
        """Lay out the sum of two tensors."""
        return self.node("add", "AddV2", [one.node, other.node], one.shape)

    def flatten(self, x: Tensor, name: str) -> Tensor:
        """Lay out a grid as a vector per image."""
        size = math.prod(x.shape)
        return self._reshape(x, name, (size,))

    def squeeze(self, x: Tensor, name: str) -> Tensor:
        """Lay out a grid of one cell as a vector per image.

        Raises:
            InputError: there are more cells, because the images are too large.
        """
        height, width, channels = x.shape
        if (height, width) != (1, 1):
            raise self.impossible_size(x.node, (height, width), "exactly 1×1")
        return self.node(name, "Squeeze", [x.node], (channels,), squeeze_dims=[1, 2])

    def softmax(self, x: Tensor, name: str) -> Tensor:
        """Lay out the softmax as node `name`."""
        return self.node(name, "Softmax", [x.node], x.shape)

    def slim_softmax(self, x: Tensor, name: str) -> Tensor:
        """Lay out slim's own softmax, whose result `name/Reshape_1` old scripts ask for by name."""
        with self.scope(name):
            rows = self._reshape(x, "Reshape", (x.shape[-1],))
            return self._reshape(self.softmax(rows, "Softmax"), "Reshape_1", x.shape)

    def _reshape(self, x: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        target = self.constant(f"{name}/shape", np.array([-1, *shape], np.int32))
        return self.node(name, "Reshape", [x.node, target], shape)

    def _pad(self, x: Tensor, around: int) -> Tensor:
        border = np.array([[0, 0], [around, around], [around, around], [0, 0]], np.int32)
        inputs = [x.node, self.constant("Pad/paddings", border)]
        height, width, channels = x.shape
        return self.node("Pad", "Pad", inputs, (height + 2 * around, width + 2 * around, channels))

    def _plain_weight(self, name: str, shape: tuple[int, ...], scale: float = 1.0) -> str:
        """Add a weight that is the variable of its own name, or a multiple of it."""
        return self.weight(name, shape, scaled(self.variable(name, shape), scale))

    def _fold(self, kernel: str, channels: int, axis: int) -> tuple[str, str]:
        """Add the weights and biases of a convolution with batch norm, and return their nodes."""
        norm, scope = self._norm_at("BatchNorm", channels)
        recipe = folded_kernel(kernel, norm, scope, axis)
        weights = self.weight("folded_weights", self.variables[kernel], recipe)
        return weights, self.weight("folded_biases", (channels,), norm_offset(norm, scope))

    def _norm_at(self, name: str, channels: int) -> tuple[Norm, str]:
        """Take the variables of a batch norm into account; return it and their scope."""
        if self._norm is None:
            raise TypeError(f"{self.path(name)} is in a family without batch norm")
        with self.scope(name):
            for part in self._norm.variables():
                self.variable(part, (channels,))
        return self._norm, self.path(name)

    def _convolve(
        self,
        x: Tensor,
        op: str,
        weights: str,
        window: tuple[int, int],
        channels: int,
        stride: int,
        padding: Padding,
    ) -> Tensor:
        shape = (*self._grid(x, op, window, stride, padding), channels)
        strides = [1, stride, stride, 1]
        return self.node(op, op, [x.node, weights], shape, strides=strides, padding=padding)

    def _add_bias(self, x: Tensor, biases: str, activated: bool) -> Tensor:
        x = self.node("BiasAdd", "BiasAdd", [x.node, biases], x.shape)
        return self.activate(x) if activated else x

    def _pool(
        self,
        x: Tensor,
        name: str,
        op: str,
        window: tuple[int, int],
        stride: int,
        padding: Padding,
    ) -> Tensor:
        shape = (*self._grid(x, name, window, stride, padding), x.shape[2])
        sizes, strides = [1, *window, 1], [1, stride, stride, 1]
        return self.node(name, op, [x.node], shape, ksize=sizes, strides=strides, padding=padding)

    def _grid(
        self, x: Tensor, name: str, window: tuple[int, int], stride: int, padding: Padding
    ) -> tuple[int, int]:
        """Return the height and width after a window has gone over `x`."""
        grid = x.shape[:2]
        if padding == "SAME":
            height, width = (-(-side // stride) for side in grid)
        elif grid[0] < window[0] or grid[1] < window[1]:
            least = f"at least {window[0]}×{window[1]}"
            raise self.impossible_size(self.path(name), grid, least)
        else:
            height, width = (
                (side - wide) // stride + 1 for side, wide in zip(grid, window, strict=True)
            )
        return height, width
