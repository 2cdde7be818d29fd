"""Runs a graph before and after a change on the same images or values, and compares the results.

1. The graph before is fed an image where images enter: its encoded input, what its decoder gives
   (for formats that the decoder was not made for), or prepared pixels. Placeholders beside it get
   `random_values`.
2. A graph that takes no images gets them for all placeholders.
3. The graph after is fed the same; what else it takes is fed what the graph before computes for the
   tensor of that name. So a graph that was cut is run on what went into the cut.
4. Both run as they are, without TensorFlow's own rewriting.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.session import EngineError
from retrain_tools.engine.untouched_graph import UntouchedGraph
from retrain_tools.errors import InputError
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.features.random_values import RandomValues
from retrain_tools.graphdef.feeds import unfed
from retrain_tools.graphdef.navigate import copy_nodes, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.transforms.apply import End
from retrain_tools.images.decode import Decoder, EncodedImage, ImageError, ImageLike, read_image

_Array = npt.NDArray[Any]

_DRAWS = 4  # of random values
_WHOLE_NUMBERS = 10


@dataclasses.dataclass(frozen=True)
class Changed:
    """A graph before and after a change.

    Attributes:
        before, after: the GraphDefs.
        inputs, outputs: the tensors that are fed and compared.
        where: the file of the graph before, for messages.
        allow_unsafe_graph: run the graphs whatever they do beside computing.
    """

    before: Any
    after: Any
    inputs: Sequence[End]
    outputs: Sequence[End]
    where: str
    allow_unsafe_graph: bool = False


@dataclasses.dataclass(frozen=True)
class Verified:
    """What came out of a comparison.

    Attributes:
        differences: for each output, by its name before, the largest difference of a value;
            infinite where shapes or texts differ, or one of two values is not a number.
        largest_values: the largest value of each output before, without its sign.
        examples: how many images, or sets of random values, were compared.
        on_images: whether it was images.
        left_out: why an image was not, by its name.
        seed: of the random values; None where none were needed.
    """

    differences: Mapping[str, float]
    largest_values: Mapping[str, float]
    examples: int
    on_images: bool
    left_out: Mapping[str, str]
    seed: int | None

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max(self.differences.values())


def verify_on_images(
    changed: Changed, frozen: FrozenGraph, images: Mapping[str, ImageLike], seed: int = 0
) -> Verified:
    """Compare a graph before and after a change on images.

    Args:
        changed: the graph.
        frozen: the graph before, with what it takes to feed it images.
        images: the images by their names.
        seed: of random values for placeholders beside the images.

    Raises:
        InputError: no image can be used; a graph fails, or TensorFlow refuses it; or the graph
            after takes something that the graph before does not have.
    """
    left_out: dict[str, str] = {}

    def examples() -> Iterator[dict[str, Any]]:
        with ImagePreparation(frozen) as side:
            for name, image in images.items():
                try:
                    yield _fed_image(frozen, side, image)
                except ImageError as error:
                    left_out[name] = str(error)

    found = _compared(changed, examples(), _image_entries(frozen), seed)
    if not found.examples:
        reasons = "; ".join(f"{name} {reason}" for name, reason in left_out.items())
        raise InputError(f"No image could be used to compare the graphs: {reasons}")
    return dataclasses.replace(found, left_out=left_out)


def verify_on_random_values(changed: Changed, seed: int = 0) -> Verified:
    """Compare a graph before and after a change on random values; see `verify_on_images`."""
    return _compared(changed, iter([{}] * _DRAWS), (), seed)


def _image_entries(frozen: FrozenGraph) -> list[str]:
    spec = frozen.spec
    if spec.encoded_input is None or spec.is_resized_by_pillow:
        return [spec.pixel_input]
    return [name for name in (spec.encoded_input, spec.decoded) if name is not None]


def _fed_image(frozen: FrozenGraph, side: ImagePreparation, image: ImageLike) -> dict[str, Any]:
    """Return what to feed for an image, by the full name of the tensor."""
    spec = frozen.spec
    if spec.encoded_input is None or spec.is_resized_by_pillow:
        return {spec.pixel_input: side.prepare(image)[np.newaxis]}
    read = read_image(image)
    if isinstance(read, EncodedImage) and read.form.decoder is Decoder.GRAPH:
        return {spec.encoded_input: read.data}
    if spec.decoded is None:
        raise ImageError("is no JPEG, which is all that the graph decodes")
    return {spec.decoded: side.decode(image)}


def _compared(
    changed: Changed, examples: Iterable[dict[str, Any]], entries: Sequence[str], seed: int
) -> Verified:
    differences = {end.before: 0.0 for end in changed.outputs}
    largest, count = dict(differences), 0
    with _Both(changed, entries, seed) as both:
        for example in examples:
            before, after = both.run(example)
            count += 1
            for name, one, other in zip(differences, before, after, strict=True):
                differences[name] = max(differences[name], difference(one, other))
                largest[name] = max(largest[name], largest_value(one))
        random_seed = seed if both.is_random else None
    return Verified(differences, largest, count, bool(entries), {}, random_seed)


class _Both(contextlib.AbstractContextManager["_Both"]):
    """Both graphs, open to be run on the same examples.

    Attributes:
        is_random: whether there are placeholders that get random values.
    """

    def __init__(self, changed: Changed, entries: Sequence[str], seed: int) -> None:
        """Open the graphs; examples will be values for one of `entries`, or for none."""
        self._after, self._renamed = nodes_by_name(changed.after), _names_after(changed)
        self._fetched = [end.before for end in changed.outputs]
        self._results = [end.after for end in changed.outputs]
        nodes = nodes_by_name(changed.before)
        others = unfed(nodes, self._fetched, set(map(node_name, entries)))
        self._draws = RandomValues(changed.before, others, seed, changed.where)
        self.is_random = self._draws.are_needed
        old_names = {end.after: end.before for end in changed.inputs}
        ways = [[entry, *others] for entry in entries] or [others]
        needed = dict.fromkeys(name for way in ways for name in self._needed(way))
        self._sources = {name: old_names.get(name, name) for name in needed}
        for name, source in self._sources.items():
            if node_name(source) not in nodes:
                raise InputError(
                    f"The changed graph takes {name!r}, which {changed.where} does not have, so "
                    "that the two cannot be run on the same values."
                )
        fed = [*entries, *others]
        before = dict.fromkeys([*fed, *self._fetched, *self._sources.values()])
        after = dict.fromkeys([*self._taken_by_both(fed), *needed, *self._results])
        with contextlib.ExitStack() as opened:
            where, allowed = changed.where, changed.allow_unsafe_graph
            one = _opened(changed.before, before, where, allowed)
            self._one = opened.enter_context(one)
            other = _opened(changed.after, after, "The changed graph", allowed)
            self._other = opened.enter_context(other)
            self._closing = opened.pop_all()

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, example: Mapping[str, Any]) -> tuple[list[_Array], list[_Array]]:
        """Return the values of the outputs before and after."""
        fed = {**self._draws.next(), **example}
        needed = {name: self._sources[name] for name in self._needed(list(fed))}
        taken = self._taken_by_both(list(fed))
        try:
            before = self._one.run([*dict.fromkeys([*self._fetched, *needed.values()])], fed)
            given = {name: fed[source] for name, source in taken.items()}
            given |= {name: before[source] for name, source in needed.items()}
            after = self._other.run(self._results, given)
        except EngineError as error:
            raise InputError(f"The graphs cannot be compared: {error}") from error
        return [before[name] for name in self._fetched], [after[name] for name in self._results]

    def _taken_by_both(self, fed: Sequence[str]) -> dict[str, str]:
        """Return what is fed to the graph after as to the one before, by its names in both."""
        names = {self._renamed.get(name, name): name for name in fed}
        return {name: old for name, old in names.items() if node_name(name) in self._after}

    def _needed(self, fed: Sequence[str]) -> list[str]:
        """Return what the graph after has to be fed beside that."""
        return unfed(self._after, self._results, set(map(node_name, self._taken_by_both(fed))))


def _names_after(changed: Changed) -> dict[str, str]:
    return {end.before: end.after for end in changed.inputs}


def _opened(
    graph_def: Any, names: Iterable[str], where: str, allow_unsafe_graph: bool
) -> UntouchedGraph:
    wanted = upstream(nodes_by_name(graph_def), names)
    part = copy_nodes(graph_def, lambda node: node.name in wanted)
    return UntouchedGraph(part, list(names), where, allow_unsafe_graph)


def difference(one: _Array, other: _Array) -> float:
    """Return the largest difference of two arrays' values; infinite where they cannot be compared.

    Values that are no numbers in both count as equal, as do equal texts.

    Example:
        >>> difference(np.array([1.0, np.nan]), np.array([1.5, np.nan]))
        0.5
    """
    if one.shape != other.shape or (one.dtype == object) != (other.dtype == object):
        return math.inf
    if one.dtype == object:
        return 0.0 if (one == other).all() else math.inf
    if one.size == 0:
        return 0.0
    wide = np.complex128 if "c" in (one.dtype.kind, other.dtype.kind) else np.float64
    a, b = one.astype(wide), other.astype(wide)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    apart = np.where(np.isnan(apart), math.inf, apart)
    return float(np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, apart).max())


def largest_value(values: _Array) -> float:
    """Return the largest number without its sign; 0 of texts and of nothing."""
    if values.dtype == object or values.size == 0:
        return 0.0
    sizes = np.abs(values.astype(np.complex128 if values.dtype.kind == "c" else np.float64))
    return float(np.nan_to_num(sizes, nan=0.0, posinf=math.inf).max())
