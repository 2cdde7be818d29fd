"""Labels images with a graph's own classifier."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.features.outcome import OnError
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.imagenet import synsets_of
from retrain_tools.images.decode import ImageError, ImageLike, image_name


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One image's labels.

    Attributes:
        image: its path, or `images[N]` for the N-th, from 0, that was given without one.
        best: (label, score), best first; empty if the image cannot be used.
        error: why it cannot be used, or None.
        synsets: the WordNet id of each of `best`, the same in every network of ImageNet, and empty
            for what is none of its classes; no ids at all where the labels are not ImageNet's.
    """

    image: str
    best: list[tuple[str, float]]
    error: str | None = None
    synsets: list[str] = dataclasses.field(default_factory=list)


def label_images(
    frozen: FrozenGraph,
    labels_for: Callable[[int], list[str]],
    images: Sequence[ImageLike],
    top_k: int = 5,
    on_error: OnError = "skip",
    running: RunSettings = DEFAULTS,
) -> list[Labelled]:
    """Return the `top_k` best labels of each image, in the order of `images`.

    The scores are those of `spec.final`; `labels_for` gives the labels for a number of scores.

    Raises:
        InputError: the graph has no scores, the labels do not fit them, or an image cannot be used
            and `on_error` is `fail`.
    """
    with open_classifier(frozen, labels_for, running) as (extractor, labels):
        synsets = synsets_of(labels)
        return [
            labelled(image_name(image, index), result, labels, synsets, top_k, on_error)
            for index, (image, result) in enumerate(extractor.extract(images))
        ]


@contextlib.contextmanager
def open_classifier(
    frozen: FrozenGraph, labels_for: Callable[[int], list[str]], running: RunSettings
) -> Iterator[tuple[Extractor, list[str]]]:
    """Open a graph for its scores, a vector for each image, and give their labels, too.

    Raises:
        InputError: the graph has no scores, or the labels do not fit them.
    """
    if frozen.spec.final is None:
        raise InputError(
            f"Which tensor of {frozen.path} gives the scores? Name it with "
            f"{argument('output_layer')}. List them: list_tensors --graph={frozen.path} --outputs"
        )
    with Extractor(frozen, [frozen.spec.final], "flatten", running) as extractor:
        yield extractor, labels_for(extractor.shapes[0][0])


def labelled(
    image: str,
    result: Result,
    labels: Sequence[str],
    synsets: Sequence[str] | None,
    top_k: int,
    on_error: OnError,
) -> Labelled:
    """Return the best labels of an image for what the classifier gave.

    `synsets` are what `imagenet.synsets_of` gives for the labels.

    Raises:
        InputError: the image cannot be used, and `on_error` is `fail`.
    """
    if isinstance(result, ImageError):
        if on_error == "fail":
            raise InputError(f"{image} {result}.")
        return Labelled(image, [], str(result))
    [scores] = result
    order = (-scores).argsort(kind="stable")[:top_k]
    best = [(labels[i], float(scores[i])) for i in order]
    return Labelled(image, best, synsets=[synsets[i] for i in order] if synsets else [])
