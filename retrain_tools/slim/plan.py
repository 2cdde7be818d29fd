"""A network laid out without weights: nodes, variables' shapes, end points, constants' recipes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import fill_constant, new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.slim.folding import Recipe, Variables

INPUT = "input"
"""The node of the image."""

# TensorFlow's sources of 1 January 2024 (see graphdef.versions): older than any that is supported.
_PRODUCER = 1728


class Tensor(NamedTuple):
    """What a node makes: float32 [batch, *shape]."""

    node: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Variant:
    """What may differ between two graphs of one network.

    Attributes:
        image_size: (height, width) of the images.
        num_classes: the background class, where there is one, included.
        width: the factor on the numbers of channels (MobileNet's α).
        aux_logits: whether the auxiliary classifier, only of use in training, is built as well.
    """

    image_size: tuple[int, int]
    num_classes: int
    width: float = 1.0
    aux_logits: bool = False


class Plan:
    """A network under construction.

    Attributes:
        variant: size, classes and so on.
        image: the pixels, float32 [batch, height, width, 3].
        light: the GraphDef so far, each weight as a placeholder of its name and shape.
        variables: shapes of the variables used, by name.
        end_points: tensors under the names that slim gave them.
        logits: [batch, num_classes], before the softmax.
        predictions: [batch, num_classes], after it.
    """

    def __init__(self, scope: str, variant: Variant) -> None:
        self.variant = variant
        self.light = schema.GraphDef()
        self.light.versions.producer = _PRODUCER
        self.variables: dict[str, tuple[int, ...]] = {}
        self.end_points: dict[str, Tensor] = {}
        self.image = self.logits = self.predictions = Tensor(INPUT, (*variant.image_size, 3))
        self._recipes: dict[str, Recipe] = {}
        self._scopes = [scope]
        self._add_placeholder(INPUT, (None, *self.image.shape))

    @contextlib.contextmanager
    def scope(self, *names: str) -> Iterator[None]:
        """Put `names` before those of the block's nodes and variables."""
        self._scopes.extend(names)
        yield
        del self._scopes[-len(names) :]

    def path(self, name: str) -> str:
        """Return `name` after the scopes it is in."""
        return "/".join([*self._scopes, name])

    def end_point(self, name: str, x: Tensor) -> Tensor:
        """Record `x` as an end point and return it."""
        self.end_points[name] = x
        return x

    def graph_def(self, variables: Variables) -> Any:
        """Return the graph with its weights.

        Args:
            variables: at least those of `variables`, in their shapes.
        """
        graph_def = schema.GraphDef(versions=self.light.versions)
        for node in self.light.node:
            recipe = self._recipes.get(node.name)
            if recipe is None:
                graph_def.node.append(node)
            else:
                fill_constant(graph_def.node.add(), node.name, recipe(variables))
        return graph_def

    def node(
        self,
        name: str,
        op: str,
        inputs: Sequence[str],
        shape: tuple[int, ...],
        **attributes: Any,
    ) -> Tensor:
        """Add a float32 node in the current scope; its attributes are as `new_node` takes them."""
        path = self.path(name)
        self.light.node.append(new_node(path, op, inputs, T=FLOAT32, **attributes))
        return Tensor(path, shape)

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant that is no weight in the current scope, and return its node."""
        self.light.node.append(new_constant(self.path(name), value))
        return self.path(name)

    def variable(self, name: str, shape: tuple[int, ...]) -> str:
        """Take a variable of the current scope into account, and return its full name."""
        self.variables[self.path(name)] = shape
        return self.path(name)

    def weight(self, name: str, shape: tuple[int, ...], recipe: Recipe) -> str:
        """Add a constant made from variables in the current scope, and return its node."""
        path = self.path(name)
        self._recipes[path] = recipe
        self._add_placeholder(path, shape)
        return path

    def impossible_size(self, at: str, grid: tuple[int, ...], needed: str) -> InputError:
        """Return the error that the images' size does not suit the network."""
        height, width = self.variant.image_size
        left = "×".join(map(str, grid))
        return InputError(
            f"{self._scopes[0]} cannot take images of {height}×{width} pixels: they leave a grid "
            f"of {left} at {at!r}, which needs {needed}."
        )

    def _add_placeholder(self, name: str, shape: tuple[int | None, ...]) -> None:
        self.light.node.append(new_node(name, "Placeholder", dtype=FLOAT32, shape=shape))
