"""What is known before the search: it says which hypotheses make sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

Move = Mapping[str, str]
"""Steps of a pipeline with their new values; most hypotheses change one."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What images, network and the other side's features allow.

    Attributes:
        has_jpeg: whether there are JPEGs among the images.
        is_turned: whether an image has an EXIF orientation.
        side: of the network's own images, the height.
        epsilons: of the network's batch norms; empty if it has none.
        count: how many images there are.
        fetches: (tensor, pooling) that give features of the other side's shape, likely ones first.
    """

    has_jpeg: bool
    is_turned: bool
    side: int
    epsilons: Sequence[float]
    count: int
    fetches: Sequence[tuple[str, str]]
