"""Sums up a graph: what to feed and fetch, what is worth caching, how large it is, what to run."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef.bottleneck import Candidate, bottleneck_candidates
from retrain_tools.graphdef.constants import constant_size
from retrain_tools.graphdef.flops import multiply_adds
from retrain_tools.graphdef.image_inputs import ImageInput, find_inputs
from retrain_tools.graphdef.make_spec import (
    find_source,
    is_entry_itself,
    known_tensor,
    who_named_it,
)
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, nodes_by_op
from retrain_tools.graphdef.next_commands import Given, next_commands
from retrain_tools.graphdef.note import Note
from retrain_tools.graphdef.op_sets import LAYERS, PLACEHOLDERS
from retrain_tools.graphdef.pixel_flow import CHANNELS
from retrain_tools.graphdef.pixel_range import PixelRange, pixel_range
from retrain_tools.graphdef.pooled import Pooled, find_pooling
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.summary import Guess, Summary
from retrain_tools.graphdef.tensors import (
    Tensor,
    consumers_by_tensor,
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
from retrain_tools.graphdef.what_to_feed import inputs_told


def summarize(
    graph_def: Any,
    path: Path,
    entry: CatalogEntry | None = None,
    tensors: Sequence[Tensor] | None = None,
    input_layer: str | None = None,
    kind: str = "frozen GraphDef",
    known_outputs: Mapping[str, str] | None = None,
    known_by: str = "the signature",
    said: Mapping[str, Any] | None = None,
) -> Summary:
    """Return the graph in short; nothing is run.

    Args:
        graph_def: the graph, TensorFlow's or `schema`'s.
        path: its file.
        entry: its catalogue entry when it was asked for by name.
        tensors: its tensors, where they have been listed already.
        input_layer: the tensor that takes the image, if the user named it.
        kind: what kind of file it comes from.
        known_outputs: tensors by the keys of the signature, or function, that was frozen.
        known_by: what calls them so.
        said: what the next commands have to say, by the names of `retrain_tools.load`'s arguments.

    Raises:
        InputError: there is no tensor `input_layer`, or it cannot take images.
    """
    graph_def = view_of(graph_def)
    tensors = list_tensors(graph_def) if tensors is None else tensors
    nodes = nodes_by_name(graph_def)
    by_name = {tensor.name: tensor for tensor in tensors}
    shapes = {name: tensor.shape for name, tensor in by_name.items()}
    images = _image_inputs(graph_def, nodes, path, input_layer, shapes)
    source = find_source(graph_def, nodes, images, entry) if images else None
    is_same = isinstance(source, CatalogEntry) and is_entry_itself(source, entry, path)
    named = known_tensor(source, "bottleneck", nodes), who_named_it(source, is_same)
    best = bottleneck_candidates(graph_def, images.pixels, *named, shapes) if images else []
    outputs = _outputs(graph_def, by_name, nodes, images, source, known_outputs or {}, known_by)
    pixels = _pixels(graph_def, nodes, images, source, is_same, said or {})
    size = _image_size(images, source)
    given = Given(path, said or {}, bool(pixels and pixels.is_known), bool(size or entry))
    return Summary(
        path=path,
        file_bytes=_size_of(path),
        kind=kind,
        network=_network(source, is_same, images),
        nodes=len(graph_def.node),
        functions=len(graph_def.library.function),
        tensors=len(tensors),
        parts=part_counts(graph_def),
        versions=read_versions(graph_def),
        inputs=inputs_told(graph_def, nodes, by_name, images, outputs),
        outputs=outputs,
        image_size=size,
        pixels=pixels,
        pooling=_pooling(nodes, shapes, best, outputs),
        bottlenecks=tuple(best),
        commands=next_commands(graph_def, by_name, given, images, outputs, best),
        **_figures(graph_def, shapes),
    )


def _image_size(
    images: ImageInput | None, source: Note | CatalogEntry | None
) -> tuple[int, int] | None:
    """Return the size that the graph asks for, or that its note says it is meant for."""
    if images is None:
        return None
    return images.size or (source.image_size if isinstance(source, Note) else None)


def _pixels(
    graph_def: Any,
    nodes: dict[str, Any],
    images: ImageInput | None,
    source: Note | CatalogEntry | None,
    is_same: bool,
    said: Mapping[str, Any],
) -> PixelRange | None:
    """Return which pixels go in; None for a graph that takes no images."""
    if images is None or images.channels not in CHANNELS:
        return None
    if said.get("preprocess") == "none":
        return pixel_range(graph_def, nodes, images, (0.0, 1.0), "as you said")
    if {"input_mean", "input_std"} <= said.keys():
        scaling = said["input_mean"], said["input_std"]
        return pixel_range(graph_def, nodes, images, scaling, "as you said")
    why = f"what the catalogue says of {'this network' if is_same else 'networks like it'}"
    if isinstance(source, Note):
        why = source.scaled_by or "what its note says"
    known = None if source is None else (source.mean, source.std)
    return pixel_range(graph_def, nodes, images, known, why)


def _pooling(
    nodes: dict[str, Any],
    shapes: Mapping[str, Shape | None],
    bottlenecks: Sequence[Candidate],
    outputs: Sequence[Guess],
) -> tuple[Pooled, ...]:
    """Return how the bottleneck and the result were pooled; nothing for a graph without images."""
    if not bottlenecks:
        return ()
    roles: dict[str, list[str]] = {bottlenecks[0].tensor: ["bottleneck"]}
    if outputs:
        roles.setdefault(outputs[0].tensor.name, []).append("result")
    return tuple(
        find_pooling(nodes, shapes, name, " and ".join(role)) for name, role in roles.items()
    )


def _figures(graph_def: Any, shapes: Mapping[str, Shape | None]) -> dict[str, Any]:
    """Return what a Summary says of the ops, and the figures that say how large the graph is."""
    ops = op_counts(graph_def)
    by_op = nodes_by_op(graph_def)
    counted = [multiply_adds(node, shapes) for op in LAYERS for node in by_op.get(op, ())]
    sizes = [constant_size(node) for node in by_op.get("Const", ())]
    return {
        "ops": ops,
        "unavailable": unavailable_ops(graph_def, ops),
        "deprecated": deprecated_ops(graph_def, ops),
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


def _image_inputs(
    graph_def: Any,
    nodes: dict[str, Any],
    path: Path,
    input_layer: str | None,
    shapes: Mapping[str, Shape | None],
) -> ImageInput | None:
    try:
        return find_inputs(graph_def, nodes, str(path), input_layer, shapes)
    except InputError:
        if input_layer is not None:
            raise
        return None  # a graph that takes no images has a summary too


def _network(
    source: Note | CatalogEntry | None, is_same: bool, images: ImageInput | None
) -> str | None:
    if isinstance(source, Note):
        return f"{source.source}, as the note in it says"
    if source is None:
        return None
    known = f"{source.name} of the catalogue"
    if is_same:
        return f"{known}: {source.description}"
    like = f"same structure as {known} ({source.description})"
    if images is not None and images.encoded is not None:  # it scales pixels itself
        return like
    return f"{like}; its pixels are taken as that network's, (x - {source.mean:g}) / {source.std:g}"


def _outputs(
    graph_def: Any,
    by_name: Mapping[str, Tensor],
    nodes: dict[str, Any],
    images: ImageInput | None,
    source: Note | CatalogEntry | None,
    known: Mapping[str, str],
    known_by: str,
) -> tuple[Guess, ...]:
    found: dict[str, str] = {}
    if "final_result" in nodes:
        found["final_result:0"] = "retrain.py's name for the result"
    elif (final := known_tensor(source, "final", nodes)) is not None:
        found[final] = f"what {'its note' if isinstance(source, Note) else 'the catalogue'} names"
    offered = [(key, name) for key, name in known.items() if name in by_name]
    for key, name in sorted(offered, key=lambda end: not _is_softmax(by_name[end[1]], nodes)):
        found.setdefault(name, f"what {known_by} calls {key!r}")
    ends = graph_outputs(graph_def, list(by_name.values()))
    # What a node makes beside what others take, as the state of a loop, is seldom a result; nor are
    # the statistics that batch norm gives beside its own, which are for training.
    parts, taken = training_parts(graph_def), consumers_by_tensor(graph_def)
    used = {node_name(name) for name, takers in taken.items() if not parts.keys() >= set(takers)}
    results = [t for t in ends if t.name in taken or node_name(t.name) not in used] or ends
    ends = [t for t in results if not t.op.startswith("FusedBatchNorm") or t.name.endswith(":0")]
    fed = [images.pixels] if images else [node.name for node in graph_def.node if _is_fed(node)]
    depends = downstream(successors(graph_def), fed)
    ends.sort(key=lambda tensor: _end_order(tensor, nodes, depends))
    for tensor in ends:
        taker = "nothing but the training takes" if tensor.name in taken else "no node takes"
        found.setdefault(tensor.name, f"{_kind_of_output(tensor, nodes)} that {taker}")
    return tuple(Guess(by_name[name], why) for name, why in found.items() if name in by_name)


def _is_fed(node: Any) -> bool:
    return node.op in PLACEHOLDERS


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
