"""Two sides, one comparison: what is the same image, how its features differ, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.comparing.asking_why import about_layers, ask_why
from retrain_tools.comparing.differences import DEFAULT_TOLERANCE, Differences, differences
from retrain_tools.comparing.layers import Layer, compare_layers
from retrain_tools.comparing.matching import Matching
from retrain_tools.comparing.rows import SideRows, labels_of_rows, match_rows, rows_of
from retrain_tools.comparing.side_values import matched_by_values, paired_values
from retrain_tools.comparing.sides import Running, Side, is_stored, pair_columns, stored_side
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument
from retrain_tools.explaining.explanation import Explanation
from retrain_tools.features.outcome import OnError
from retrain_tools.features.read_features import StoredFeatures
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.folders import ImageFile, image_files
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import open_model

Array = npt.NDArray[np.float32]
Compared = str | Path | Model | FrozenGraph | StoredFeatures
"""What may be compared: stored features, or a graph."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """How two sets of features differ, and why.

    Attributes:
        a, b: the sides.
        count_a, count_b: how many rows, or images to run on, each side has.
        matching: which of them belong together.
        images: the image of each row that was compared, for people.
        paths: where it lies on disk, '' where it does not.
        labels: of these images; empty where there are none.
        pairs: the differences of each pair of tensors, in the order of the graph.
        main: which of them is explained: the first that differs.
        values: float32 [N, ...] of that pair, A's and B's.
        layers: of two graphs: the tensors that both have, in order.
        explanation: why the main pair differs.
        notes: what else was noticed, for people.
    """

    a: Side
    b: Side
    count_a: int
    count_b: int
    matching: Matching
    images: Sequence[str]
    paths: Sequence[str]
    labels: Sequence[str]
    pairs: Sequence[Differences]
    main: int
    values: tuple[Array, Array]
    layers: Sequence[Layer]
    explanation: Explanation
    notes: Sequence[str] = ()

    @property
    def agrees(self) -> bool:
        """Whether every pair of tensors agrees, on the images that both sides have."""
        return all(pair.agrees for pair in self.pairs)

    @property
    def difference(self) -> Differences:
        """The pair of tensors that is explained."""
        return self.pairs[self.main]


def compare(
    a: Compared,
    b: Compared,
    image_dir: str | Path | Sequence[str | Path | ImageFile] = (),
    *,
    graph: str | Path | Model | FrozenGraph | None = None,
    tensors: str | Sequence[str] = (),
    tensor_a: str | None = None,
    tensor_b: str | None = None,
    pooling: str | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    max_images: int | None = None,
    running: RunSettings = DEFAULTS,
    on_error: OnError = "skip",
) -> Comparison:
    """Compare the features of two sides for the same images, and explain how they differ.

    A side is a folder of bottlenecks, a file of features (see `read_features`), or a graph, which
    is run on the images. Images are matched by name, then by content; rows without names are taken
    to be in the order of the sorted listing of the images, or else matched by similarity.

    Args:
        a: one side: a path, what `load` opened, or what `read_features` read.
        b: the other side.
        image_dir: a folder of images, or several images and folders; a graph needs them.
        graph: where both sides are stored: the graph that may have made one of them, to run it
            again in other ways.
        tensors: what to compare, where both sides have it under one name; by default what both
            have, or the graph's bottleneck.
        tensor_a: what to compare of A.
        tensor_b: what to compare of B.
        pooling: `avg`, `max` or `flatten`: how feature maps of graphs become vectors; None keeps
            their shape.
        tolerance: by how much of the standard deviation of A's values any value may differ where
            the sides agree.
        max_images: compare no more images than this, spread evenly over all; None for all.
        running: how graphs are run on images.
        on_error: `skip` leaves out images that a graph cannot use, `fail` ends with an InputError.

    Raises:
        InputError: a side cannot be read or run, a graph has no images, no image is on both sides,
            or nothing tells which rows or tensors belong together.

    Example:
        >>> import numpy as np, retrain_tools as rt
        >>> np.savez("a.npz", pool=np.eye(4), images=[f"{n}.jpg" for n in range(4)])
        >>> np.savez("b.npz", pool=2 * np.eye(4), images=[f"{n}.jpg" for n in range(4)])
        >>> found = rt.compare("a.npz", "b.npz")
        >>> found.agrees, found.difference.mean
        (False, 0.25)
    """
    listed = _listed(image_dir)
    sides = _opened(a, b, pooling, bool(listed))
    wanted = [tensors] if isinstance(tensors, str) else list(tensors)
    columns = pair_columns(*sides, wanted, tensor_a, tensor_b)
    believed = None if graph is None else _frozen(graph)
    limits = _Limits(tolerance, max_images, Running(running, on_error))
    return _compared(sides, columns, listed, believed, limits)


class _Limits(NamedTuple):
    """How far apart values may be, how many images count, and how graphs are run."""

    tolerance: float
    max_images: int | None
    running: Running


def _compared(
    sides: tuple[Side, Side],
    columns: Sequence[tuple[str, str]],
    listed: Sequence[ImageFile],
    believed: FrozenGraph | None,
    limits: _Limits,
) -> Comparison:
    """Match, measure and explain what is opened."""
    rows = rows_of(*sides, listed)
    taken, values = _paired(sides, rows, columns, limits)
    names, places = _named(rows, taken)
    kept = taken.rows_a.tolist(), taken.rows_b.tolist()
    labels: list[str] = []
    for side, its, numbers in zip(sides, rows, kept, strict=True):
        labels = labels or labels_of_rows(side, its, numbers, listed)
    pairs = [
        differences(*both, pair, labels, limits.tolerance)
        for both, pair in zip(values, columns, strict=True)
    ]
    main = next((at for at, pair in enumerate(pairs) if not pair.agrees), len(pairs) - 1)
    layers = []
    if not pairs[main].agrees:
        there = [place for place in places if place]
        layers = compare_layers(*sides, there, limits.tolerance, limits.running)
    explanation, notes = ask_why(sides, pairs[main], values[main], places, believed)
    return Comparison(
        *sides, rows[0].count, rows[1].count, taken, names, places, labels, pairs, main,
        values[main], layers, explanation, [*about_layers(layers), *notes],
    )  # fmt: skip


def _opened(a: Compared, b: Compared, pooling: str | None, has_images: bool) -> tuple[Side, Side]:
    """Open both sides; a graph needs images."""
    sides = _side("A", a, pooling), _side("B", b, pooling)
    for side in sides:
        if side.frozen is not None and not has_images:
            raise InputError(
                f"{side.source} is a graph: name the images to run it on with "
                f"{argument('image_dir')}."
            )
    return sides


def _paired(
    sides: tuple[Side, Side],
    rows: tuple[SideRows, SideRows],
    columns: Sequence[tuple[str, str]],
    limits: _Limits,
) -> tuple[Matching, list[tuple[Array, Array]]]:
    """Match the rows of both sides, and return the values of those that are compared."""
    matching = match_rows(*rows, (sides[0].source, sides[1].source))
    if matching is None:
        matching = matched_by_values(*sides, rows, columns[0], limits.running)
    taken = matching.taking(limits.max_images)
    return paired_values(*sides, rows, taken, columns, limits.running)


def _named(rows: tuple[SideRows, SideRows], taken: Matching) -> tuple[list[str], list[str]]:
    """Return the name of each image that is compared, and where it lies on disk or ''."""
    sides = list(zip(rows, (taken.rows_a.tolist(), taken.rows_b.tolist()), strict=True))
    names = next(
        ([one.names[row] for row in kept] for one, kept in sides if one.names),
        [f"row {row}" for row in taken.rows_a],
    )
    places = [""] * len(names)
    for one, kept in sides:
        if one.names:
            places = [place or one.places[row] for place, row in zip(places, kept, strict=True)]
    return names, places


def _listed(images: str | Path | Sequence[str | Path | ImageFile]) -> list[ImageFile]:
    given = [images] if isinstance(images, (str, Path)) else images
    found: list[ImageFile] = []
    for image in given:
        found += [image] if isinstance(image, ImageFile) else image_files([str(image)])
    return list({image.path: image for image in found}.values())


def _side(name: str, what: Compared, pooling: str | None) -> Side:
    if isinstance(what, StoredFeatures) or (isinstance(what, (str, Path)) and is_stored(what)):
        return stored_side(name, what, pooling)
    frozen = _frozen(what)
    return Side(name, str(frozen.path), frozen=frozen, pooling=pooling)


def _frozen(graph: str | Path | Model | FrozenGraph) -> FrozenGraph:
    if isinstance(graph, FrozenGraph):
        return graph
    return (graph if isinstance(graph, Model) else open_model(graph)).frozen()
