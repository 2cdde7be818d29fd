"""The retrained network as a SavedModel that takes a batch of encoded images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from retrain_tools.export import saved_model
from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.spec import FrozenGraph


def retrained(frozen: FrozenGraph, graph_def: Any, final_tensor_name: str) -> FrozenGraph:
    """Return the retrained graph with all that it takes to run it on images, for the exporters.

    Args:
        frozen: the graph that was retrained.
        graph_def: what `retrained_graph` made of it.
        final_tensor_name: the node of its new result.
    """
    spec = dataclasses.replace(frozen.spec, final=full_name(final_tensor_name))
    return dataclasses.replace(frozen, graph_def=graph_def, spec=spec)


def write_saved_model(folder: str, frozen: FrozenGraph, labels: Sequence[str]) -> None:
    """Write a `retrained` graph as a SavedModel; see `export.saved_model`.

    Its `serving_default` takes `image_bytes`, string [N], encoded images, and gives `scores`,
    float32 [N, classes], and `labels`, string [N, classes], each row in the order of the scores.
    The folder is missing or empty.

    Raises:
        InputError: TensorFlow 2 refuses the graph.
    """
    saved_model.write_saved_model(folder, frozen, {"scores": str(frozen.spec.final)}, labels)
