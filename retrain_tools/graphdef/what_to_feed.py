"""What a caller may feed, the images first, each with the reason: for a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.image_inputs import ImageInput, image_entries
from retrain_tools.graphdef.navigate import node_name, upstream
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.purposes import purpose
from retrain_tools.graphdef.summary import Guess
from retrain_tools.graphdef.tensors import Tensor, graph_inputs
from retrain_tools.graphdef.training_parts import training_parts


def inputs_told(
    graph_def: Any,
    nodes: dict[str, Any],
    by_name: Mapping[str, Tensor],
    images: ImageInput | None,
    outputs: Sequence[Guess],
) -> tuple[Guess, ...]:
    """Return what a caller may feed: where images enter first, then the rest in file order.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        by_name: its tensors by full name.
        images: where images enter; None in a graph that takes none.
        outputs: what to fetch, the main one first: what it does not need is said to be so.
    """
    found = {} if images is None else _image_reasons(graph_def, images)
    shapes = {name: tensor.shape for name, tensor in by_name.items()}
    problems = {
        entry.placeholder: f"it {entry.problem}; only RGB and grey images are fed from files"
        for entry in (image_entries(graph_def, nodes, shapes) if images is None else ())
        if entry.problem is not None
    }
    needed: set[str] | None = None
    if outputs:
        needed = upstream(nodes, [outputs[0].tensor.name])
    for tensor in graph_inputs(graph_def, list(by_name.values())):
        name = tensor.name
        if name not in found and tensor.op in PLACEHOLDERS:
            is_needed = needed is None or node_name(name) in needed
            unneeded = "" if is_needed else outputs[0].tensor.name
            found[name] = problems.get(name) or _reason(graph_def, nodes, tensor, unneeded)
        found.setdefault(name, "an encoded image that the file holds")
    return tuple(Guess(by_name[name], why) for name, why in found.items() if name in by_name)


def _image_reasons(graph_def: Any, images: ImageInput) -> dict[str, str]:
    pixels = "pixels of grey images" if images.channels == 1 else "pixels"
    if images.encoded is not None:
        decoder = next(n for n in graph_def.node if _takes(n, images.encoded))
        return {
            images.encoded: f"the bytes of one image: {decoder.op} takes it",
            images.pixels: "prepared pixels: what the first layer takes after the decoding",
        }
    if images.placeholder is not None:
        return {
            images.placeholder: "the pixels of images in another shape, which the graph changes",
            images.pixels: f"{pixels}: where images enter, in the shape that they have",
        }
    if not images.is_fixed:
        return {images.pixels: f"{pixels}: named by the user"}
    if images.shape is None:
        return {images.pixels: f"{pixels}: a placeholder from which a layer takes images"}
    return {images.pixels: f"{pixels}: a placeholder of the type and shape of images"}


def _takes(node: Any, tensor: str) -> bool:
    return any(name in (tensor, tensor.removesuffix(":0")) for name in node.input)


def _reason(graph_def: Any, nodes: Mapping[str, Any], tensor: Tensor, unneeded_for: str) -> str:
    """Say what a placeholder is for that takes no images."""
    if tensor.dtype == "uint8" and tensor.shape is not None and tensor.shape[-1:] in ((1,), (3,)):
        return "images as arrays of uint8: only float32 pixels are fed from files"
    use = purpose(graph_def, nodes, tensor.name)
    is_scalar = tensor.shape == () or (tensor.shape is None and use.text)
    what = "a scalar" if is_scalar else "data"
    if tensor.op == "PlaceholderWithDefault":
        must = "a placeholder that may be left alone"
    elif unneeded_for:
        must = f"{what} that {unneeded_for} does not need"
    else:
        must = f"{what} that has to be fed"
    told = f"{must}: {use.text}" if use.text else must
    part = training_parts(graph_def).get(node_name(tensor.name))
    return f"{told}, which only serves training ({part})" if part else told
