"""GraphSpec: which tensor takes the picture, how pixels are prepared, which is the bottleneck."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef.bottleneck import Candidate, bottleneck_candidates
from retrain_tools.graphdef.navigate import (
    attribute,
    check_tensor,
    constant_value,
    full_name,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.note import Note, read_note
from retrain_tools.quiet_tensorflow import tf

log = logging.getLogger(__name__)

_DECODERS = ("DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeGif", "DecodeImage", "DecodeWebP")
_RESIZERS = ("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor", "ResizeArea")
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_PADDINGS = ("Pad", "PadV2", "MirrorPad")
_FIRST_LAYERS = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "QuantizedConv2D", "QuantizeV2")
_GUESSED_MEAN_AND_STD = (127.5, 127.5)  # [-1, 1], what most frozen image networks take


@dataclasses.dataclass(frozen=True)
class GraphSpec:
    """How to use a graph on pictures. Tensor names carry `:0`.

    Attributes:
        encoded_input: string tensor that takes one encoded picture; None if the graph has none.
        decoded: uint8 [H, W, 3] tensor that decoding gives; None without `encoded_input`.
        resized: float32 [1, h, w, 3] tensor, 0 to 255, after resizing; None if there is none.
        pixel_input: float32 [N, h, w, 3] tensor, prepared pixels.
        image_size: (h, w) of `pixel_input`.
        mean, std: `pixel_input` is (x - mean) / std for pixels x of 0 to 255; the mean may be one
            for each colour. Only used where the graph itself has no picture side.
        bottleneck: the tensor to cache.
        final: the graph's own result, if it has one.
        end_points: tensors by the names that slim gave them; empty for other graphs.
    """

    encoded_input: str | None
    decoded: str | None
    resized: str | None
    pixel_input: str
    image_size: tuple[int, int]
    mean: float | tuple[float, float, float]
    std: float
    bottleneck: str
    final: str | None
    end_points: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def preprocessing(self) -> dict[str, Any]:
        """What changes the pixels, as recorded with a cache."""
        if self.encoded_input is not None:
            return {"by": "graph", "from": self.encoded_input, "to": self.pixel_input}
        return {
            "by": "retrain_tools",
            "to": self.pixel_input,
            "image_size": list(self.image_size),
            "mean": self.mean,
            "std": self.std,
        }


@dataclasses.dataclass(frozen=True)
class SpecOverrides:
    """What the user said about a graph; None where nothing was said. An explicit 0 counts."""

    input_layer: str | None = None
    output_layer: str | None = None
    bottleneck_tensor: str | None = None
    input_height: int | None = None
    input_width: int | None = None
    input_mean: float | None = None
    input_std: float | None = None


def make_spec(
    graph_def: Any, where: str, entry: CatalogEntry | None, overrides: SpecOverrides
) -> tuple[GraphSpec, CatalogEntry | None]:
    """Work out the spec of a graph: from the user, its note, the catalogue, or the graph itself.

    Args:
        graph_def: the graph.
        where: its file, for error messages.
        entry: its catalogue entry when it was asked for by name; else a graph without a note is
            recognised by its tensor names and picture size.
        overrides: what the user said.

    Raises:
        InputError: a named tensor does not exist, or no picture input or size can be found.
    """
    nodes = nodes_by_name(graph_def)
    encoded, decoded, pixels = _inputs(graph_def, nodes, where, overrides.input_layer)
    resized = _resized(nodes, pixels)
    own_size = _own_size(nodes, pixels, resized)
    size = _image_size(own_size, pixels, encoded, entry, where, overrides)
    note = read_note(graph_def)
    if entry is None and note is None:
        entry = catalog.match_entry(set(nodes), size)
    mean, std = _scaling(encoded, note or entry, where, overrides)
    end_points = note.end_points if note else {}

    def checked(name: str) -> str:
        return end_points.get(name) or check_tensor(name, nodes, where)

    if overrides.bottleneck_tensor is not None:
        bottleneck = checked(overrides.bottleneck_tensor)
    else:
        bottleneck = _bottlenecks(graph_def, nodes, pixels, note or entry, where)[0].tensor
    final = _known(note or entry, "final", nodes)
    if overrides.output_layer is not None:
        final = checked(overrides.output_layer)
    elif "final_result" in nodes:  # retrain.py's default name, also on a catalogued network
        final = "final_result:0"
    spec = GraphSpec(
        encoded, decoded, resized, pixels, size, mean, std, bottleneck, final, end_points
    )
    return spec, entry


def find_bottlenecks(
    graph_def: Any, where: str, entry: CatalogEntry | None, input_layer: str | None = None
) -> list[Candidate]:
    """Return the tensors worth caching, best first, the catalogue's own at the head.

    Unlike a whole spec, this takes no picture size and no scaling.

    Args:
        graph_def: the graph.
        where: its file, for error messages.
        entry: its catalogue entry when it was asked for by name.
        input_layer: the tensor that takes the picture, if the user named it.

    Raises:
        InputError: no tensor is seen to take pictures, or nothing is computed from it.
    """
    nodes = nodes_by_name(graph_def)
    _, _, pixels = _inputs(graph_def, nodes, where, input_layer)
    size = _own_size(nodes, pixels, _resized(nodes, pixels))
    known = read_note(graph_def) or entry or catalog.match_entry(set(nodes), size)
    return _bottlenecks(graph_def, nodes, pixels, known, where)


def _known(source: Note | CatalogEntry | None, what: str, nodes: dict[str, Any]) -> str | None:
    """Return the `bottleneck` or `final` that a note or the catalogue names, if it is there."""
    name = getattr(source, what, None)
    return name if name is not None and node_name(name) in nodes else None


def _bottlenecks(
    graph_def: Any,
    nodes: dict[str, Any],
    pixels: str,
    source: Note | CatalogEntry | None,
    where: str,
) -> list[Candidate]:
    known = _known(source, "bottleneck", nodes)
    candidates = bottleneck_candidates(graph_def, pixels, known)
    if not candidates:
        raise InputError(
            f"Nothing in {where} is computed from {pixels!r}; name the tensor that takes "
            "pictures with --input_layer."
        )
    return candidates


def _inputs(
    graph_def: Any, nodes: dict[str, Any], where: str, input_layer: str | None
) -> tuple[str | None, str | None, str]:
    """Find the encoded input, the decoded picture (None for both if absent) and the pixel input."""
    decoders = [n for n in graph_def.node if n.op in _DECODERS and n.input]
    encoded = decoded = None
    if decoders:
        encoded, decoded = full_name(decoders[0].input[0]), f"{decoders[0].name}:0"
    if input_layer is not None:
        name = check_tensor(input_layer, nodes, where)
        takes_bytes = attribute(nodes[node_name(name)], "dtype").type == tf.string.as_datatype_enum
        if not takes_bytes:
            return None, None, name
        encoded = name
        decoded = next((f"{d.name}:0" for d in decoders if _reaches(nodes, d, name)), None)
    if decoded is not None:
        pixels = _pixels_after_decoding(graph_def, nodes, decoded)
        if pixels is not None:
            return encoded, decoded, pixels
    if input_layer is not None:
        raise InputError(
            f"{encoded!r} of {where} takes bytes, but no picture decoded from them goes on to a "
            "layer; name a tensor that takes pixels with --input_layer."
        )
    floats = [
        n
        for n in graph_def.node
        if n.op in _PLACEHOLDERS and _may_be_pixels(n) and not n.name.endswith("InputPlaceholder")
    ]
    if not floats:
        raise InputError(
            f"No tensor of {where} is seen to take pictures; name it with --input_layer. "
            f"List them: list_tensors --graph={where}"
        )
    # One whose shape is a picture's before one without a shape, which may be a dropout rate.
    best = max(floats, key=lambda n: len(attribute(n, "shape").shape.dim))
    return None, None, f"{best.name}:0"


def _reaches(nodes: dict[str, Any], decoder: Any, tensor: str) -> bool:
    return node_name(tensor) in upstream(nodes, [decoder.name])


def _may_be_pixels(node: Any) -> bool:
    if attribute(node, "dtype").type != tf.float32.as_datatype_enum:
        return False
    shape = attribute(node, "shape").shape
    if shape.unknown_rank or not shape.dim:  # old graphs leave the shape out
        return node.op != "PlaceholderWithDefault"
    return len(shape.dim) == 4 and shape.dim[3].size in (3, -1)


def _pixels_after_decoding(graph_def: Any, nodes: dict[str, Any], decoded: str) -> str | None:
    """Return the tensor between the picture side and the network: what the first layer takes.

    It must be the only way from the decoded picture to that layer, or batches could not enter.
    """
    start = node_name(decoded)
    before = {n.name: upstream(nodes, [n.name]) for n in graph_def.node if n.op in _FIRST_LAYERS}
    layers = [name for name, names in before.items() if start in names]
    if not layers:
        return None
    first = min(layers, key=lambda name: len(before[name]))  # files need not be in running order
    pixels = full_name(nodes[first].input[0])
    while nodes[node_name(pixels)].op in _PADDINGS:  # the first layer's own, as the ResNets have it
        pixels = full_name(nodes[node_name(pixels)].input[0])
    rest = upstream(nodes, [first], stop=[node_name(pixels)])
    return pixels if start not in rest or start == node_name(pixels) else None


def _resized(nodes: dict[str, Any], pixels: str) -> str | None:
    found = [n for n in upstream(nodes, [pixels]) if nodes[n].op in _RESIZERS]
    return f"{found[0]}:0" if len(found) == 1 else None


def _own_size(nodes: dict[str, Any], pixels: str, resized: str | None) -> tuple[int, int] | None:
    """Return the (height, width) that the graph itself asks for; None if it does not say."""
    dims = attribute(nodes[node_name(pixels)], "shape").shape.dim
    if len(dims) == 4 and dims[1].size > 0 and dims[2].size > 0:
        return dims[1].size, dims[2].size
    if resized is not None:
        value = constant_value(nodes, nodes[node_name(resized)].input[1])
        if value is not None:
            return int(value[0]), int(value[1])
    return None


def _image_size(
    own_size: tuple[int, int] | None,
    pixels: str,
    encoded: str | None,
    entry: CatalogEntry | None,
    where: str,
    overrides: SpecOverrides,
) -> tuple[int, int]:
    height, width = own_size or (entry.image_size if entry else (0, 0))
    height = height if overrides.input_height is None else overrides.input_height
    width = width if overrides.input_width is None else overrides.input_width
    if height <= 0 or width <= 0:
        raise InputError(
            f"{where} does not say how large its pictures are ({pixels!r} has no fixed size); "
            "give --input_height and --input_width (above 0)."
        )
    if encoded is not None and own_size and own_size != (height, width):
        raise InputError(
            f"{where} resizes pictures to {own_size[0]}×{own_size[1]} itself, not to "
            f"{height}×{width}; leave --input_height and --input_width out, or pass "
            f"--input_layer={pixels} to have pictures prepared outside of the graph."
        )
    return height, width


def _scaling(
    encoded: str | None,
    source: Note | CatalogEntry | None,
    where: str,
    overrides: SpecOverrides,
) -> tuple[float | tuple[float, float, float], float]:
    mean, std = (source.mean, source.std) if source else _GUESSED_MEAN_AND_STD
    mean = mean if overrides.input_mean is None else overrides.input_mean
    std = std if overrides.input_std is None else overrides.input_std
    if std == 0:
        raise InputError("--input_std=0 would divide by zero; known values: 127.5, 128, 255.")
    if encoded is not None and (overrides.input_mean, overrides.input_std) != (None, None):
        log.warning("%s prepares pixels itself: --input_mean and --input_std are not used.", where)
    unsaid = overrides.input_mean is None or overrides.input_std is None
    if encoded is None and source is None and unsaid:
        log.warning(
            "%s is not in the catalogue; its pixels are taken as (x - %g) / %g. "
            "If that is wrong, give --input_mean and --input_std.",
            where,
            mean,
            std,
        )
    return mean, std
