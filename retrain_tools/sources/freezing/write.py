"""Writes a model as a frozen GraphDef file."""

from __future__ import annotations

import dataclasses

from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.make_spec import make_spec
from retrain_tools.graphdef.navigate import copy_nodes, full_name
from retrain_tools.graphdef.note import read_note
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.sources.model import Model


def write_frozen(
    model: Model, path: str, overrides: SpecOverrides | None = None
) -> tuple[list[Tensor], list[str]]:
    """Freeze a model into a file; a network of known scaling gets an encoded input where it lacks.

    Args:
        model: the model.
        path: the file to write.
        overrides: image size and the like; None for the model's own.

    Returns:
        Its inputs, the encoded image first, and the full names of its outputs.

    Raises:
        InputError: it cannot be frozen, or would be larger than a GraphDef can be.
    """
    overrides = overrides or model.overrides
    size = (overrides.input_height, overrides.input_width)
    graph_def, inputs, outputs = model.freeze(size, overrides.feeds)
    taken = list(inputs.values())
    note, results = read_note(graph_def), list(outputs.values())
    if note is not None:  # a network that takes images, of known scaling
        spec, _ = make_spec(graph_def, str(model.path), model.entry, overrides)
        if spec.encoded_input is None:
            graph_def = copy_nodes(graph_def, lambda _: True)  # a GraphDef's own stays as it is
            add_image_side(graph_def, spec)
            own = dataclasses.replace(overrides, resize=None)  # which is in the graph now
            spec, _ = make_spec(graph_def, str(model.path), model.entry, own)
        if spec.encoded_input is not None and spec.encoded_input not in taken:
            taken.insert(0, spec.encoded_input)
    write_graph(path, graph_def)
    tensors = {tensor.name: tensor for tensor in list_tensors(graph_def)}
    if note is not None and not results:  # a network of Keras by its name
        results = [name for name in (note.final or note.bottleneck,) if name is not None]
    return [tensors[full_name(name)] for name in taken], results
