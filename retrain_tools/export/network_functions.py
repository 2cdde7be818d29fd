"""A network's two parts, image side and body, as functions that TensorFlow 2 can export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrain_tools.engine.importing import import_light
from retrain_tools.export.body import PIXELS, BodyFunction, body_of_network
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.quiet_tensorflow import tf


class NetworkFunctions:
    """A network's image side and body, to be called while TensorFlow traces a function.

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
        self._spec, self._allowed = frozen.spec, frozen.allow_unsafe_graph
        self._side = image_side(frozen.graph_def, frozen.spec)
        self._side.graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
        self._function = BodyFunction(module, body_of_network(frozen, outputs))
        self.body = self._function.body.light

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
        return self._function.values({PIXELS: pixels})
