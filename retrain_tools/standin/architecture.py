"""The layers of inception-2015-12-05 as a table, to be read next to the paper.

Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision" (arXiv:1512.00567),
table 1 and figures 5, 6, 7 and 10, with the channels of the published graph.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Conv(NamedTuple):
    """A convolution with batch norm and Relu; sizes in pixels."""

    height: int
    width: int
    channels: int
    stride: int = 1
    padding: Literal["SAME", "VALID"] = "SAME"


class Pool(NamedTuple):
    """A 3x3 pool; the strided ones do not pad."""

    kind: Literal["Max", "Avg"]
    stride: int = 1

    @property
    def padding(self) -> Literal["SAME", "VALID"]:
        """How the border is treated."""
        return "SAME" if self.stride == 1 else "VALID"


class Fork(NamedTuple):
    """The end of a branch: two convolutions of the same input, both joined."""

    one: Conv
    other: Conv


Layers = tuple[Conv | Pool | Fork, ...]
Branches = tuple[tuple[str, Layers], ...]
"""The branches of a block in the order of its nodes, each with its name scope ("" for none)."""

LOGITS = 1008
IMAGE_SIDE = 299

STEM: Layers = (
    Conv(3, 3, 32, 2, "VALID"),
    Conv(3, 3, 32, 1, "VALID"),
    Conv(3, 3, 64),
    Pool("Max", 2),
    Conv(1, 1, 80, 1, "VALID"),
    Conv(3, 3, 192, 1, "VALID"),
    Pool("Max", 2),
)


def _grid_35(pooled: int) -> Branches:
    """Figure 5, except that one branch keeps its 5x5 convolution."""
    return (
        ("", (Conv(1, 1, 64),)),
        ("tower", (Conv(1, 1, 48), Conv(5, 5, 64))),
        ("tower_1", (Conv(1, 1, 64), Conv(3, 3, 96), Conv(3, 3, 96))),
        ("tower_2", (Pool("Avg"), Conv(1, 1, pooled))),
    )


def _grid_17(c: int) -> Branches:
    """Figure 6: a 7x7 convolution as 1x7 and 7x1; `c` is the number of channels inside."""
    twice = (Conv(7, 1, c), Conv(1, 7, c), Conv(7, 1, c), Conv(1, 7, 192))
    return (
        ("", (Conv(1, 1, 192),)),
        ("tower", (Conv(1, 1, c), Conv(1, 7, c), Conv(7, 1, 192))),
        ("tower_1", (Conv(1, 1, c), *twice)),
        ("tower_2", (Pool("Avg"), Conv(1, 1, 192))),
    )


def _grid_8(pool: Pool) -> Branches:
    """Figure 7: the last 3x3 convolutions as 1x3 beside 3x1."""
    fork = Fork(Conv(1, 3, 384), Conv(3, 1, 384))
    return (
        ("", (Conv(1, 1, 320),)),
        ("tower", (Conv(1, 1, 384), fork)),
        ("tower_1", (Conv(1, 1, 448), Conv(3, 3, 384), fork)),
        ("tower_2", (pool, Conv(1, 1, 192))),
    )


# Figure 10: half the grid, more channels.
_GRID_35_TO_17: Branches = (
    ("", (Conv(3, 3, 384, 2, "VALID"),)),
    ("tower", (Conv(1, 1, 64), Conv(3, 3, 96), Conv(3, 3, 96, 2, "VALID"))),
    ("", (Pool("Max", 2),)),
)
_SEVEN = (Conv(1, 7, 192), Conv(7, 1, 192))
_GRID_17_TO_8: Branches = (
    ("tower", (Conv(1, 1, 192), Conv(3, 3, 320, 2, "VALID"))),
    ("tower_1", (Conv(1, 1, 192), *_SEVEN, Conv(3, 3, 192, 2, "VALID"))),
    ("", (Pool("Max", 2),)),
)

MIXED: dict[str, Branches] = {
    "mixed": _grid_35(pooled=32),
    "mixed_1": _grid_35(pooled=64),
    "mixed_2": _grid_35(pooled=64),
    "mixed_3": _GRID_35_TO_17,
    "mixed_4": _grid_17(128),
    "mixed_5": _grid_17(160),
    "mixed_6": _grid_17(160),
    "mixed_7": _grid_17(192),
    "mixed_8": _GRID_17_TO_8,
    "mixed_9": _grid_8(Pool("Avg")),
    "mixed_10": _grid_8(Pool("Max")),
}
