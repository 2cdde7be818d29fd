"""What is asked for of a Keras application: which network, weights, top and size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from retrain_tools.sources.applications.names import PREFIX
from retrain_tools.sources.contents import ImageSize

PIXELS = "rgb"
"""The node of the graph that takes pixels of 0 to 255."""


@dataclasses.dataclass(frozen=True)
class Application:
    """A network of `keras.applications`, as it is to be built.

    Attributes:
        name: Keras's name for it.
        weights: `imagenet`, `none`, or a file.
        seed: of the weights, where they are `none`.
        include_top: whether it has its classifier.
        size: (height, width) of its images in pixels; None for Keras's default.
    """

    name: str
    weights: str = "imagenet"
    seed: int = 0
    include_top: bool = False
    size: ImageSize = (None, None)

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{PREFIX}{self.name}"

    @property
    def weights_file(self) -> Path | None:
        """The file that the user named; None for weights of Keras's, or none."""
        return None if self.weights in ("imagenet", "none") else Path(self.weights)

    @property
    def source(self) -> str:
        """What the graph's note calls it: `keras:VGG16 weights=imagenet`."""
        file = self.weights_file
        return f"{self.where} weights={self.weights if file is None else file.name}"

    @property
    def described(self) -> str:
        """What it is, in words, after "a"."""
        file = self.weights_file
        if file is not None:
            return f"Keras application with the weights of {file.name}"
        random = f"random weights (seed {self.seed})"
        return f"Keras application with {'ImageNet weights' if self.weights != 'none' else random}"
