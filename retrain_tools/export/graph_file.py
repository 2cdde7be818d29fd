"""A graph as a frozen GraphDef, which takes encoded images as well as prepared pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.engine.untouched import run_untouched_on_each
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import ExportOptions
from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name, upstream
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.graph_def import read_graph_def


def check_path(path: str) -> None:
    """Raise InputError if there cannot be such a file."""
    files.check_file(path)


def write(
    frozen: FrozenGraph, path: str, tensors: Sequence[str], options: ExportOptions
) -> dict[str, str]:
    """Write the graph, and return what is worth knowing of it.

    It is as it was opened, names and GraphDef version included; where outputs were named, only what
    they are computed from.

    Raises:
        InputError: it would be larger than a GraphDef can be.
    """
    spec, nodes = frozen.spec, nodes_by_name(frozen.graph_def)
    wanted = upstream(nodes, tensors) if options.outputs else set(nodes)
    graph_def = copy_nodes(frozen.graph_def, lambda node: node.name in wanted)
    if spec.encoded_input is None:
        add_image_side(graph_def, spec)
    write_graph(path, graph_def)
    return {
        "GraphDef": f"{len(graph_def.node):,} nodes, version {graph_def.versions.producer}",
        "Inputs": f"{spec.encoded_input or 'an encoded image'} or {spec.pixel_input}",
        "Outputs": ", ".join(tensors),
    }


def run(
    path: str, sample: Sample, frozen: FrozenGraph, tensors: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what the file gives in TensorFlow: the tensor twice, and its values."""
    graph_def = read_graph_def(Place.of(path).path).proto
    feeds = [{frozen.spec.pixel_input: one[np.newaxis]} for one in sample.pixels]
    results = run_untouched_on_each(graph_def, tensors, feeds, path, frozen.allow_unsafe_graph)
    for tensor, values in zip(tensors, zip(*results, strict=True), strict=True):
        yield tensor, tensor, np.concatenate(values)
