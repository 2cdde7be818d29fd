"""How an image enters a graph: the tensors that take it, encoded or as pixels, and its size."""

from __future__ import annotations

from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.constants import integers
from retrain_tools.graphdef.dtypes import FLOAT32, STRING
from retrain_tools.graphdef.navigate import (
    attribute,
    check_made,
    constant_node,
    full_name,
    node_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import (
    DECODERS,
    FIRST_LAYERS,
    PADDINGS,
    PLACEHOLDERS,
    RESIZERS,
)
from retrain_tools.graphdef.walks import downstream, successors


def find_inputs(
    graph_def: Any, nodes: dict[str, Any], where: str, input_layer: str | None
) -> tuple[str | None, str | None, str]:
    """Find the encoded input, the decoded image (None for both if absent) and the pixel input.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        where: its file, for error messages.
        input_layer: the tensor that takes the image, if the user named it.

    Raises:
        InputError: there is no such tensor, or none is seen to take images.
    """
    decoders = [n for n in graph_def.node if n.op in DECODERS and n.input]
    encoded = decoded = None
    if decoders:
        encoded, decoded = full_name(decoders[0].input[0]), f"{decoders[0].name}:0"
    if input_layer is not None:
        name = check_made(input_layer, nodes, where)
        takes_bytes = attribute(nodes[node_name(name)], "dtype").type == STRING
        if not takes_bytes:
            return None, None, name
        encoded = name
        decoding = (d for d in decoders if node_name(name) in upstream(nodes, [d.name]))
        decoded = next((f"{decoder.name}:0" for decoder in decoding), None)
    if decoded is not None:
        pixels = _pixels_after_decoding(graph_def, nodes, decoded)
        if pixels is not None:
            return encoded, decoded, pixels
    if input_layer is not None:
        raise InputError(
            f"{encoded!r} of {where} takes bytes, but no image decoded from them goes on to a "
            f"layer; name a tensor that takes pixels with {argument('input_layer')}."
        )
    floats = [
        n
        for n in graph_def.node
        if n.op in PLACEHOLDERS and _may_be_pixels(n) and not n.name.endswith("InputPlaceholder")
    ]
    if not floats:
        raise InputError(
            f"No tensor of {where} is seen to take images; name it with {argument('input_layer')}. "
            f"List them: list_tensors --graph={where}"
        )
    # One whose shape is an image's before one without a shape, which may be a dropout rate.
    best = max(floats, key=lambda n: len(attribute(n, "shape").shape.dim))
    return None, None, f"{best.name}:0"


def _may_be_pixels(node: Any) -> bool:
    if attribute(node, "dtype").type != FLOAT32:
        return False
    shape = attribute(node, "shape").shape
    if shape.unknown_rank or not shape.dim:  # old graphs leave the shape out
        return node.op != "PlaceholderWithDefault"
    return len(shape.dim) == 4 and shape.dim[3].size in (3, -1)


def _pixels_after_decoding(graph_def: Any, nodes: dict[str, Any], decoded: str) -> str | None:
    """Return the tensor between the image side and the network: what the first layer takes.

    Every path from the decoded image to that layer must go through it, or batches could not enter.
    """
    start = node_name(decoded)
    all_layers = [node.name for node in graph_def.node if node.op in FIRST_LAYERS]
    reached = downstream(successors(graph_def), [start], stop=all_layers)
    layers = [name for name in all_layers if name in reached]
    if not layers:
        return None
    first = min(layers, key=lambda name: len(upstream(nodes, [name])))  # in any order in the file
    pixels = full_name(nodes[first].input[0])
    while nodes[node_name(pixels)].op in PADDINGS:  # the first layer's own, as the ResNets have it
        pixels = full_name(nodes[node_name(pixels)].input[0])
    rest = upstream(nodes, [first], stop=[node_name(pixels)])
    return pixels if start not in rest or start == node_name(pixels) else None


def resized_tensor(nodes: dict[str, Any], pixels: str) -> str | None:
    """Return the tensor that resizing gives, upstream of the pixels; None if there is no one."""
    found = [n for n in upstream(nodes, [pixels]) if nodes[n].op in RESIZERS]
    return f"{found[0]}:0" if len(found) == 1 else None


def own_size(nodes: dict[str, Any], pixels: str) -> tuple[int, int] | None:
    """Return the (height, width) that the graph itself asks for; None if it does not say."""
    dims = attribute(nodes[node_name(pixels)], "shape").shape.dim
    if len(dims) == 4 and dims[1].size > 0 and dims[2].size > 0:
        return dims[1].size, dims[2].size
    if (resized := resized_tensor(nodes, pixels)) is not None:
        size = constant_node(nodes, nodes[node_name(resized)].input[1])
        value = size and integers(attribute(size, "value").tensor, 2)
        if isinstance(value, tuple) and len(value) == 2:
            return value
    return None
