"""The plan by which a network runs: its nodes from the pixel input to the fetches, transformed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, upstream
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.graphdef.transforms.batch import make_batchable
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.graphdef.transforms.to_bfloat16 import to_bfloat16
from retrain_tools.graphdef.weights import Weights, large_constants, light_copy


def plan_body(
    graph_def: Any, spec: GraphSpec, fetches: Sequence[str], precision: str = "float32"
) -> tuple[Any, Weights]:
    """Return the body: the part from the pixel input to `fetches`, ready for batches and for speed.

    The pixel input becomes a float32 [None, h, w, channels] placeholder of the same name. Then
    nodes that only pass values on are removed, arithmetic on constants is done, batch norms are
    folded into their kernels (the same numbers to 1e-5 relative), and Reshapes to a batch of one
    are opened. With `precision` bfloat16, what costs time is computed in that. `graph_def` is not
    changed; the full tensor names in `fetches` can be fetched from the body.

    Returns:
        The light graph and its weights, for `import_light`.

    Raises:
        InputError: a fetch is not computed from the pixel input.
    """
    light, weights = cut_body(graph_def, spec, fetches)
    keep = [node_name(fetch) for fetch in fetches]
    light, weights = fold_batch_norms(light, weights, keep)
    return to_bfloat16(light, weights, keep) if precision == "bfloat16" else (light, weights)


def cut_body(graph_def: Any, spec: GraphSpec, fetches: Sequence[str]) -> tuple[Any, Weights]:
    """Return the body as `plan_body` does, with its batch norms as they are."""
    nodes = nodes_by_name(graph_def)
    pixel_input = node_name(spec.pixel_input)
    for fetch in fetches:
        depends = pixel_input in upstream(nodes, [fetch], stop=[pixel_input])
        if not depends or node_name(fetch) == pixel_input:
            raise InputError(
                f"{fetch!r} is not computed from {spec.pixel_input!r}, where images enter the "
                "network, so it is not a feature of an image; choose a tensor further on."
            )
    wanted = upstream(nodes, fetches, stop=[pixel_input])
    light = light_copy(graph_def, lambda node: node.name in wanted)
    weights = large_constants(graph_def, lambda node: node.name in wanted)
    shape = (None, *spec.image_size, spec.channels)
    for node in light.node:
        if node.name == pixel_input:
            node.CopyFrom(new_node(pixel_input, "Placeholder", dtype=FLOAT32, shape=shape))
    keep = [node_name(fetch) for fetch in fetches]
    light, weights = remove_pass_through(light, weights, keep)
    light, weights = fold_constants(light, weights, keep)
    return make_batchable(light, weights, keep, pixel_input=spec.pixel_input)
