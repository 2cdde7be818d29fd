"""Sums up a graph: what to feed and fetch, what is worth caching, how large it is, what to run."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef.bottleneck import Candidate, bottleneck_candidates
from retrain_tools.graphdef.constants import constant_size
from retrain_tools.graphdef.flops import multiply_adds
from retrain_tools.graphdef.image_inputs import find_inputs, own_size
from retrain_tools.graphdef.make_spec import find_source, known_tensor, who_named_it
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, nodes_by_op
from retrain_tools.graphdef.note import Note
from retrain_tools.graphdef.op_sets import LAYERS
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.summary import Guess, Summary
from retrain_tools.graphdef.tensors import (
    Tensor,
    consumers_by_tensor,
    graph_inputs,
    graph_outputs,
    list_tensors,
)
from retrain_tools.graphdef.training_parts import part_counts, training_parts
from retrain_tools.graphdef.versions import (
    deprecated_ops,
    op_counts,
    read_versions,
    unavailable_ops,
)
from retrain_tools.graphdef.view import view_of
from retrain_tools.graphdef.walks import downstream, successors

# What most networks take, and what whoever runs the command has to look at.
_PIXELS_UNKNOWN = " --input_mean=127.5 --input_std=127.5"


def summarize(
    graph_def: Any,
    path: Path,
    entry: CatalogEntry | None = None,
    tensors: Sequence[Tensor] | None = None,
    input_layer: str | None = None,
    kind: str = "frozen GraphDef",
    known_outputs: Mapping[str, str] | None = None,
) -> Summary:
    """Return the graph in short; nothing is run.

    Args:
        graph_def: the graph, TensorFlow's or `schema`'s.
        path: its file.
        entry: its catalogue entry when it was asked for by name.
        tensors: its tensors, where they have been listed already.
        input_layer: the tensor that takes the image, if the user named it.
        kind: what kind of file it comes from.
        known_outputs: tensors by the keys of the signature that was frozen.

    Raises:
        InputError: there is no tensor `input_layer`.
    """
    graph_def = view_of(graph_def)
    tensors = list_tensors(graph_def) if tensors is None else tensors
    images = _image_inputs(graph_def, path, input_layer)
    nodes = nodes_by_name(graph_def)
    source = find_source(graph_def, nodes, images[1], entry) if images else None
    by_name = {tensor.name: tensor for tensor in tensors}
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    bottlenecks: tuple[Candidate, ...] = ()
    if images is not None:
        known = known_tensor(source, "bottleneck", nodes), who_named_it(source)
        bottlenecks = tuple(bottleneck_candidates(graph_def, images[1], *known, shapes))
    inputs = _inputs(graph_def, by_name, nodes, images)
    outputs = _outputs(graph_def, by_name, nodes, images, source, known_outputs or {})
    size = own_size(nodes, images[1]) if images else None
    ops = op_counts(graph_def)
    return Summary(
        path=path,
        file_bytes=_size_of(path),
        kind=kind,
        network=_network(source),
        nodes=len(graph_def.node),
        functions=len(graph_def.library.function),
        tensors=len(tensors),
        parts=part_counts(graph_def),
        versions=read_versions(graph_def),
        inputs=inputs,
        outputs=outputs,
        image_size=size,
        bottlenecks=bottlenecks,
        ops=ops,
        unavailable=unavailable_ops(graph_def, ops),
        deprecated=deprecated_ops(graph_def, ops),
        commands=_commands(path, inputs, outputs, bottlenecks, size, bool(source)),
        **_sizes(graph_def, shapes),
    )


def _sizes(graph_def: Any, shapes: Mapping[str, Shape | None]) -> dict[str, int]:
    """Return the figures of a Summary that say how large the graph is."""
    by_op = nodes_by_op(graph_def)
    counted = [multiply_adds(node, shapes) for op in LAYERS for node in by_op.get(op, ())]
    sizes = [constant_size(node) for node in by_op.get("Const", ())]
    return {
        "parameters": sum(parameters for parameters, _ in sizes),
        "constant_bytes": sum(size for _, size in sizes),
        "flops": 2 * sum(found for found in counted if found is not None),
        "unmeasured_layers": counted.count(None),
    }


def _size_of(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if path.exists():
        return path.stat().st_size
    # A checkpoint's prefix, which is no file but begins the names of some.
    return sum(file.stat().st_size for file in path.parent.glob(f"{glob.escape(path.name)}.*"))


Images = tuple[str | None, str] | None
"""The tensor that takes an encoded image, if there is one, and that which takes pixels."""


def _image_inputs(graph_def: Any, path: Path, input_layer: str | None) -> Images:
    try:
        encoded, _, pixels = find_inputs(
            graph_def, nodes_by_name(graph_def), str(path), input_layer
        )
    except InputError:
        if input_layer is not None:
            raise
        return None  # a graph that takes no images has a summary too
    return encoded, pixels


def _network(source: Note | CatalogEntry | None) -> str | None:
    if isinstance(source, Note):
        return f"{source.source}, as the note in it says"
    return None if source is None else f"{source.name} of the catalogue: {source.description}"


def _inputs(
    graph_def: Any, by_name: Mapping[str, Tensor], nodes: dict[str, Any], images: Images
) -> tuple[Guess, ...]:
    found: dict[str, str] = {}
    if images is not None:
        encoded, pixels = images
        if encoded is not None:
            decoder = next(n for n in graph_def.node if _takes(n, encoded))
            found[encoded] = f"the bytes of one image: {decoder.op} takes it"
            found[pixels] = "prepared pixels: what the first layer takes after the decoding"
        elif nodes[node_name(pixels)].op.startswith("Placeholder"):
            found[pixels] = "pixels: a placeholder of the type and shape of images"
        else:
            found[pixels] = "pixels: named by the user"
    for tensor in graph_inputs(graph_def, list(by_name.values())):
        is_default = tensor.op == "PlaceholderWithDefault"
        other = "a placeholder that may be left alone" if is_default else "a placeholder"
        if (part := training_parts(graph_def).get(node_name(tensor.name))) is not None:
            other += f", which only serves training ({part})"
        found.setdefault(tensor.name, other)
    return tuple(Guess(by_name[name], why) for name, why in found.items() if name in by_name)


def _takes(node: Any, tensor: str) -> bool:
    return any(name in (tensor, tensor.removesuffix(":0")) for name in node.input)


def _outputs(
    graph_def: Any,
    by_name: Mapping[str, Tensor],
    nodes: dict[str, Any],
    images: Images,
    source: Note | CatalogEntry | None,
    known: Mapping[str, str],
) -> tuple[Guess, ...]:
    found: dict[str, str] = {}
    if "final_result" in nodes:
        found["final_result:0"] = "retrain.py's name for the result"
    elif (final := known_tensor(source, "final", nodes)) is not None:
        found[final] = f"what {'its note' if isinstance(source, Note) else 'the catalogue'} names"
    offered = [(key, name) for key, name in known.items() if name in by_name]
    for key, name in sorted(offered, key=lambda end: not _is_softmax(by_name[end[1]], nodes)):
        found.setdefault(name, f"what the signature calls {key!r}")
    # The statistics that batch norm gives beside its result are for training.
    ends = [
        tensor
        for tensor in graph_outputs(graph_def, list(by_name.values()))
        if not tensor.op.startswith("FusedBatchNorm") or tensor.name.endswith(":0")
    ]
    if images is not None:
        depends = downstream(successors(graph_def), [images[1]])
        ends.sort(key=lambda tensor: _end_order(tensor, nodes, depends))
    taken = consumers_by_tensor(graph_def)
    for tensor in ends:
        taker = "nothing but the training takes" if tensor.name in taken else "no node takes"
        found.setdefault(tensor.name, f"{_kind_of_output(tensor, nodes)} that {taker}")
    return tuple(Guess(by_name[name], why) for name, why in found.items() if name in by_name)


def _end_order(tensor: Tensor, nodes: dict[str, Any], depends: set[str]) -> tuple[bool, bool]:
    return node_name(tensor.name) not in depends, not _is_softmax(tensor, nodes)


def _is_softmax(tensor: Tensor, nodes: dict[str, Any]) -> bool:
    """Look through what only reshapes, as slim's networks end."""
    node = nodes[node_name(tensor.name)]
    while node.op in ("Reshape", "Identity", "Squeeze") and node.input:
        node = nodes[node_name(node.input[0])]
    return node.op == "Softmax"


def _kind_of_output(tensor: Tensor, nodes: dict[str, Any]) -> str:
    what = "softmax" if _is_softmax(tensor, nodes) else tensor.op
    return f"{'an' if what[0] in 'AEIO' else 'a'} {what}"


def _commands(
    path: Path,
    inputs: Sequence[Guess],
    outputs: Sequence[Guess],
    bottlenecks: Sequence[Candidate],
    size: tuple[int, int] | None,
    is_known: bool,
) -> tuple[str, ...]:
    if not bottlenecks:
        return ()
    graph = f"--graph={shlex.quote(str(path))}"
    pixels = "" if is_known or inputs[0].tensor.dtype != "float32" else _PIXELS_UNKNOWN
    if size is None and not is_known:
        pixels += " --input_height=HEIGHT --input_width=WIDTH"
    bottleneck = f"--bottleneck_tensor={shlex.quote(bottlenecks[0].tensor)}"
    commands = [
        f"retrain_tools.bottlenecks {graph} {bottleneck}{pixels} --image_dir=FOLDER "
        "--bottleneck_dir=CACHE"
    ]
    commands.append(f"retrain_tools.retrain {graph} {bottleneck}{pixels} --image_dir=FOLDER")
    if outputs:
        output = shlex.quote(outputs[0].tensor.name)
        commands.append(
            f"retrain_tools.label_image {graph} --output_layer={output}{pixels} "
            "--labels=LABELS.txt --image=IMAGE.jpg"
        )
    return tuple(commands)
