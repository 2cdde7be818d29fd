"""How a graph is run on images: what it takes, how exactly, and how fast."""

from __future__ import annotations

import dataclasses

from retrain_tools.images.decode import MAX_PIXELS


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """How a graph is run. The fields are called as the scripts' flags.

    Attributes:
        max_image_pixels: the largest width × height of an image to accept.
    """

    max_image_pixels: int = MAX_PIXELS


DEFAULTS = RunSettings()
"""As a graph is run where nothing is said."""
