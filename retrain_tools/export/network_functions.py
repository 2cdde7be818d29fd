"""A graph's two parts, image side and body, as functions that TensorFlow 2 can export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.plan import plan_body
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import Weights
from retrain_tools.quiet_tensorflow import tf

_HELD_AS_VARIABLE = 1 << 16  # bytes
_NOT_IN_KEYS = re.compile(r"\W")


def output_keys(frozen: FrozenGraph, tensors: Sequence[str]) -> dict[str, str]:
    """Return what signatures call tensors: `scores`, `bottleneck`, or a node's name with `_`."""
    known = {frozen.spec.bottleneck: "bottleneck", frozen.spec.final: "scores"}
    keys = (known.get(name) or _NOT_IN_KEYS.sub("_", node_name(name)) for name in tensors)
    return dict(zip(keys, tensors, strict=True))


def exported_body(frozen: FrozenGraph, tensors: Sequence[str]) -> tuple[Any, Weights]:
    """Return the light graph from prepared pixels to tensors as an export has it, and its weights.

    It is `plan_body`'s, of today's GraphDef version. A placeholder with a default, as the one of a
    retrained graph that can be fed bottlenecks, only passes its default on.

    Raises:
        InputError: a tensor is not computed from images.
    """
    light, weights = plan_body(frozen.graph_def, frozen.spec, tensors)
    for node in light.node:
        if node.op == "PlaceholderWithDefault":
            node.CopyFrom(new_node(node.name, "Identity", node.input, T=node.attr["dtype"].type))
    light.versions.producer = tf.version.GRAPH_DEF_VERSION
    return light, weights


class NetworkFunctions:
    """A graph's image side and body, to be called while TensorFlow traces a function.

    Attributes:
        body: the light graph from prepared pixels to the outputs, for batches.
    """

    def __init__(self, module: Any, frozen: FrozenGraph, outputs: Mapping[str, str]) -> None:
        """Read a graph, and give its large weights to `module` as variables.

        Args:
            module: a `tf.Module`.
            frozen: the graph.
            outputs: full names of tensors by the keys that `values` gives them.

        Raises:
            InputError: an output is not computed from images.
        """
        self._module, self._spec, self._outputs = module, frozen.spec, dict(outputs)
        self._allowed = frozen.allow_unsafe_graph
        self._side = image_side(frozen.graph_def, frozen.spec)
        self._side.graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
        self.body, weights = exported_body(frozen, list(outputs.values()))
        # A variable takes TensorFlow some milliseconds, however small it is.
        large = {n: array for n, array in weights.items() if array.nbytes >= _HELD_AS_VARIABLE}
        module.weights = {n: tf.Variable(w, trainable=False, name=n) for n, w in large.items()}
        self._small = {n: array for n, array in weights.items() if n not in large}

    @property
    def image_shape(self) -> list[int]:
        """Of prepared pixels."""
        return [*self._spec.image_size, self._spec.channels]

    def batch_of_one(self, encoded: Any) -> Any:
        """Return the prepared pixels of one encoded image, float32 [1, h, w, channels]."""
        side = self._side
        fed = {node_name(side.encoded): encoded}
        [pixels] = import_light(
            side.graph_def, fed, [side.pixels], allow_unsafe_graph=self._allowed
        )
        return pixels

    def prepare(self, encoded: Any) -> Any:
        """Return the same as float32 [h, w, channels]."""
        return tf.reshape(self.batch_of_one(encoded), self.image_shape)

    def values(self, pixels: Any) -> dict[str, Any]:
        """Return the outputs for prepared pixels, by their keys."""
        held = {**self._module.weights, **self._small}
        tensors = {name: tf.convert_to_tensor(value) for name, value in held.items()}
        tensors[node_name(self._spec.pixel_input)] = pixels
        names = list(self._outputs.values())
        found = import_light(self.body, tensors, names, allow_unsafe_graph=self._allowed)
        return dict(zip(self._outputs, found, strict=True))
