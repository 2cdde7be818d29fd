"""Labels images with a graph's own classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from retrain_tools.errors import InputError, argument
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.outcome import OnError
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import MAX_PIXELS, ImageError, ImageLike, image_name


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One image's labels.

    Attributes:
        image: its path, or `images[N]` for the N-th, from 0, that was given without one.
        best: (label, score), best first; empty if the image cannot be used.
        error: why it cannot be used, or None.
    """

    image: str
    best: list[tuple[str, float]]
    error: str | None = None


def label_images(
    frozen: FrozenGraph,
    labels_for: Callable[[int], list[str]],
    images: Sequence[ImageLike],
    top_k: int = 5,
    on_error: OnError = "skip",
    max_image_pixels: int = MAX_PIXELS,
) -> list[Labelled]:
    """Return the `top_k` best labels of each image, in the order of `images`.

    The scores are those of `spec.final`; `labels_for` gives the labels for a number of scores.

    Raises:
        InputError: the graph has no scores, the labels do not fit them, or an image cannot be used
            and `on_error` is `fail`.
    """
    if frozen.spec.final is None:
        raise InputError(
            f"Which tensor of {frozen.path} gives the scores? Name it with "
            f"{argument('output_layer')}. List them: list_tensors --graph={frozen.path} --outputs"
        )
    labelled = []
    with Extractor(frozen, [frozen.spec.final], "flatten", max_image_pixels) as extractor:
        labels = labels_for(extractor.shapes[0][0])
        for index, (image, result) in enumerate(extractor.extract(images)):
            name = image_name(image, index)
            if isinstance(result, ImageError):
                if on_error == "fail":
                    raise InputError(f"{name} {result}.")
                labelled.append(Labelled(name, [], str(result)))
                continue
            scores = result[0]
            order = (-scores).argsort(kind="stable")[:top_k]
            labelled.append(Labelled(name, [(labels[i], float(scores[i])) for i in order]))
    return labelled
