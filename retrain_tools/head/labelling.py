"""Labels images with a graph's own classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.decode import ImageError


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One image's labels.

    Attributes:
        path: the image.
        best: (label, score), best first; empty if the image cannot be used.
        error: why it cannot be used, or None.
    """

    path: str
    best: list[tuple[str, float]]
    error: str | None = None


def label_images(
    frozen: FrozenGraph,
    read_labels: Callable[[int], list[str]],
    paths: Sequence[str],
    top_k: int = 5,
) -> list[Labelled]:
    """Return each image's best labels, in the order of `paths`.

    Args:
        frozen: the graph; `spec.final` gives the scores.
        read_labels: gives the labels for a number of scores.
        paths: image files.
        top_k: how many labels to give.

    Raises:
        InputError: the graph has no scores, or the labels do not fit them.
    """
    if frozen.spec.final is None:
        raise InputError(
            f"Which tensor of {frozen.path} gives the scores? Name it with --output_layer. "
            f"List them: list_tensors --graph={frozen.path} --outputs"
        )
    results: dict[str, Result] = {}
    with Extractor(frozen, [frozen.spec.final], pooling="flatten") as extractor:
        labels = read_labels(extractor.shapes[0][0])
        for _ in extractor.map_batches(dict.fromkeys(paths), results.update):
            pass
    return [_labelled(path, results[path], labels, top_k) for path in paths]


def _labelled(path: str, result: Result, labels: list[str], top_k: int) -> Labelled:
    if isinstance(result, ImageError):
        return Labelled(path, [], str(result))
    scores = result[0]
    order = (-scores).argsort(kind="stable")[:top_k]
    return Labelled(path, [(labels[i], float(scores[i])) for i in order])
