"""The GraphSpec of a graph: from the user, its note, the catalogue, or the graph itself."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.bottleneck import Candidate, bottleneck_candidates
from retrain_tools.graphdef.image_inputs import (
    ImageInput,
    check_shape,
    fed_shape,
    find_inputs,
    resized_tensor,
)
from retrain_tools.graphdef.navigate import check_made, node_name, nodes_by_name
from retrain_tools.graphdef.note import Note, read_note
from retrain_tools.graphdef.pixel_range import shown_scaling
from retrain_tools.graphdef.spec import NETWORK_INPUT, RESIZES, GraphSpec, SpecOverrides
from retrain_tools.graphdef.tensors import shape_text
from retrain_tools.graphdef.view import view_of

log = logging.getLogger(__name__)

_GUESSED_MEAN_AND_STD = (127.5, 127.5)  # [-1, 1], what most frozen image networks take


def make_spec(
    graph_def: Any, where: str, entry: CatalogEntry | None, overrides: SpecOverrides
) -> tuple[GraphSpec, CatalogEntry | None]:
    """Work out the spec of a graph: from the user, its note, the catalogue, or the graph itself.

    Args:
        graph_def: the graph.
        where: its file, for error messages.
        entry: its catalogue entry when it was asked for by name; else a graph without a note is
            recognised by its tensor names and image size.
        overrides: what the user said.

    Raises:
        InputError: a named tensor does not exist, or no image input or size can be found.
    """
    graph_def = view_of(graph_def)
    nodes = nodes_by_name(graph_def)
    images = _images(graph_def, nodes, where, overrides)
    is_raw = overrides.raw_pixels
    note = read_note(graph_def)
    size = _image_size(images, note, entry, where, overrides)
    is_look_alike = entry is None
    if entry is None and note is None:
        entry = _same_structure(nodes, size, images.channels)
    is_told = note or entry or images.encoded
    shown = None if is_told else shown_scaling(graph_def, nodes, images.pixels)
    mean, std = _scaling(images, note or entry, shown, is_look_alike, where, overrides)
    bottleneck, final = _results(graph_def, nodes, images, note, entry, where, overrides)
    if images.encoded is None:  # else the graph's own image side gives the shape that it takes
        check_shape(images, where)
    spec = GraphSpec(
        encoded_input=None if is_raw else images.encoded,
        decoded=None if is_raw else images.decoded,
        resized=None if is_raw else resized_tensor(nodes, images.pixels),
        pixel_input=images.pixels,
        image_size=size,
        mean=mean,
        std=std,
        bottleneck=bottleneck,
        final=final,
        end_points=note.end_points if note else {},
        resize=_resize(images, note, where, overrides),
        channels=images.channels,
    )
    return spec, entry


def _images(
    graph_def: Any, nodes: dict[str, Any], where: str, overrides: SpecOverrides
) -> ImageInput:
    input_layer = overrides.input_layer
    if overrides.raw_pixels and input_layer is None and NETWORK_INPUT in nodes:
        input_layer = NETWORK_INPUT  # or the application's own preprocess_input would scale
    return find_inputs(graph_def, nodes, where, input_layer)


def _results(
    graph_def: Any,
    nodes: dict[str, Any],
    images: ImageInput,
    note: Note | None,
    entry: CatalogEntry | None,
    where: str,
    overrides: SpecOverrides,
) -> tuple[str, str | None]:
    """Return the tensor to cache, and the graph's own result if it has one."""
    end_points = note.end_points if note else {}

    def checked(name: str) -> str:
        return end_points.get(name) or check_made(name, nodes, where)

    if overrides.bottleneck_tensor is not None:
        bottleneck = checked(overrides.bottleneck_tensor)
    else:
        found = _bottlenecks(graph_def, nodes, images.pixels, note or entry, where)
        bottleneck = found[0].tensor
    final = known_tensor(note or entry, "final", nodes)
    if overrides.output_layer is not None:
        final = checked(overrides.output_layer)
    elif "final_result" in nodes:  # retrain.py's default name, also on a catalogued network
        final = "final_result:0"
    return bottleneck, final


def find_bottlenecks(
    graph_def: Any, where: str, entry: CatalogEntry | None, input_layer: str | None = None
) -> list[Candidate]:
    """Return the tensors worth caching, best first, the catalogue's own at the head.

    Unlike a whole spec, this takes no image size and no scaling. The arguments are those of
    `make_spec`; `input_layer` is the tensor that takes the image, if the user named it.

    Raises:
        InputError: no tensor is seen to take images, or nothing is computed from it.
    """
    graph_def = view_of(graph_def)
    nodes = nodes_by_name(graph_def)
    images = find_inputs(graph_def, nodes, where, input_layer)
    known = find_source(graph_def, nodes, images, entry)
    is_same = isinstance(known, CatalogEntry) and is_entry_itself(known, entry, Path(where))
    return _bottlenecks(graph_def, nodes, images.pixels, known, where, is_same)


def find_source(
    graph_def: Any, nodes: dict[str, Any], images: ImageInput, entry: CatalogEntry | None
) -> Note | CatalogEntry | None:
    """Return who knows this network: its own note, or the catalogue.

    The catalogue's entry is `entry` when it was asked for by name.
    """
    known = read_note(graph_def) or entry
    return known or _same_structure(nodes, images.size, images.channels)


def _same_structure(
    nodes: dict[str, Any], size: tuple[int, int] | None, channels: int
) -> CatalogEntry | None:
    return catalog.match_entry(set(nodes), size) if channels == 3 else None  # all take colours


def is_entry_itself(found: CatalogEntry, asked_for: CatalogEntry | None, path: Path) -> bool:
    """Tell whether a graph is the one that an entry is of: by its name, or the file's checksum."""
    return asked_for is not None or catalog.is_published(path, found)


def known_tensor(
    source: Note | CatalogEntry | None, what: str, nodes: dict[str, Any]
) -> str | None:
    """Return the `bottleneck` or `final` that a note or the catalogue names, if it is there."""
    name = getattr(source, what, None)
    return name if name is not None and node_name(name) in nodes else None


def who_named_it(source: Note | CatalogEntry | None, is_same: bool) -> str:
    """Say where a known tensor comes from, for a reader.

    Args:
        source: the note or the entry that names it.
        is_same: whether the graph is that of the entry for sure, and not only of its structure.
    """
    if isinstance(source, Note):
        return "what its note names"
    networks = "this network" if is_same else "networks of this structure"
    if source is not None and source.aliases:  # the names that retrain.py had for it
        return f"what retrain.py cached for {networks}"
    return f"what the catalogue names for {networks}"


def _bottlenecks(
    graph_def: Any,
    nodes: dict[str, Any],
    pixels: str,
    source: Note | CatalogEntry | None,
    where: str,
    is_same: bool = False,
) -> list[Candidate]:
    known = known_tensor(source, "bottleneck", nodes)
    why = who_named_it(source, is_same)
    candidates = bottleneck_candidates(graph_def, pixels, known, why)
    if not candidates:
        raise InputError(
            f"Nothing in {where} is computed from {pixels!r}; name the tensor that takes "
            f"images with {argument('input_layer')}."
        )
    return candidates


def _image_size(
    images: ImageInput,
    note: Note | None,
    entry: CatalogEntry | None,
    where: str,
    overrides: SpecOverrides,
) -> tuple[int, int]:
    said = images.size
    noted = note.image_size if note else None
    height, width = said or noted or (entry.image_size if entry else (0, 0))
    height = height if overrides.input_height is None else overrides.input_height
    width = width if overrides.input_width is None else overrides.input_width
    flags = f"{argument('input_height')} and {argument('input_width')}"
    if height <= 0 or width <= 0:
        raise InputError(
            f"{where} does not say how large its images are ({images.pixels!r} has no fixed "
            f"size); give {flags} (above 0)."
        )
    if said and said != (height, width) and images.encoded is not None:
        raise InputError(
            f"{where} resizes images to {said[0]}×{said[1]} itself, not to {height}×{width}; "
            f"leave {flags} out, or pass {argument('input_layer')}={images.pixels} to have images "
            "prepared outside of the graph."
        )
    if said and said != (height, width) and images.is_fixed:
        raise InputError(
            f"{images.pixels!r} of {where} takes {shape_text(images.shape)}, not "
            f"{fed_shape((height, width), images.channels)}; leave {flags} out."
        )
    return height, width


def _resize(
    images: ImageInput, note: Note | None, where: str, overrides: SpecOverrides
) -> str | None:
    """Return how images are resized outside of the graph; None for its own or retrain.py's way."""
    is_inside = images.encoded is not None and not overrides.raw_pixels
    if overrides.resize is not None:
        if overrides.resize not in RESIZES:
            raise InputError(
                f"{argument('resize')}={overrides.resize} must be one of {', '.join(RESIZES)}."
            )
        if is_inside:
            raise InputError(
                f"{where} resizes images itself; leave {argument('resize')} out, or pass "
                f"{argument('input_layer')}={images.pixels} to have images prepared outside of the "
                "graph."
            )
        return overrides.resize
    if note is not None and note.preprocess in RESIZES and not is_inside:
        return note.preprocess
    return "bilinear" if overrides.raw_pixels else None


def _scaling(
    images: ImageInput,
    source: Note | CatalogEntry | None,
    shown: tuple[float, float] | None,
    is_look_alike: bool,
    where: str,
    overrides: SpecOverrides,
) -> tuple[float | tuple[float, float, float], float]:
    if overrides.raw_pixels:
        return 0.0, 1.0
    mean, std = (source.mean, source.std) if source else shown or _GUESSED_MEAN_AND_STD
    mean = mean if overrides.input_mean is None else overrides.input_mean
    std = std if overrides.input_std is None else overrides.input_std
    if std == 0:
        raise InputError(
            f"{argument('input_std')}=0 would divide by zero; known values: 127.5, 128, 255."
        )
    if images.encoded is not None and (overrides.input_mean, overrides.input_std) != (None, None):
        log.warning("%s prepares pixels itself: input_mean and input_std are not used.", where)
    unsaid = overrides.input_mean is None or overrides.input_std is None
    if images.encoded is None and unsaid and not isinstance(source, Note):
        taken = f"its pixels are taken as (x - {mean:g}) / {std:g}"
        advice = "If that is wrong, give input_mean and input_std."
        if shown is not None:
            log.debug("%s: %s, as its arithmetic shows. %s", where, taken, advice)
        elif source is None:
            log.warning("%s is not in the catalogue; %s. %s", where, taken, advice)
        elif is_look_alike and not catalog.is_published(Path(where), source):
            log.debug("%s has the structure of %s; %s. %s", where, source.name, taken, advice)
    return mean, std
