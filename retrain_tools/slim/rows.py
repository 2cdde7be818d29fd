"""The rows that an architecture's table is made of; `layers` lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

Padding: TypeAlias = Literal["SAME", "VALID", "EVEN"]
Size: TypeAlias = int | tuple[int, int]
"""Of a kernel, in pixels: a square's side, or (height, width)."""


class Conv(NamedTuple):
    """A convolution with the family's batch norm and activation."""

    name: str
    size: Size
    channels: int
    stride: int = 1
    padding: Padding = "SAME"


class MaxPool(NamedTuple):
    """The maximum of each window."""

    name: str
    size: int
    stride: int = 1
    padding: Padding = "SAME"


class AvgPool(NamedTuple):
    """The mean of each window; what lies outside the image does not count."""

    name: str
    size: int
    stride: int = 1
    padding: Padding = "SAME"


class Fork(NamedTuple):
    """The end of a branch: two convolutions of the same input, joined."""

    one: Conv
    other: Conv


Row: TypeAlias = Conv | MaxPool | AvgPool | Fork
Branches: TypeAlias = Sequence[Sequence[Row]]
"""What lies side by side in a block, in the order of `Branch_0`, `Branch_1`, …"""


def convs(*layers: tuple[Size, int]) -> list[Row]:
    """Return the convolutions (size, channels) that a branch begins with.

    Their names are slim's, by place and size: `Conv2d_0a_1x1`, `Conv2d_0b_3x3`, …
    """
    rows: list[Row] = []
    for letter, (size, channels) in zip("abcde", layers, strict=False):
        height, width = size if isinstance(size, tuple) else (size, size)
        rows.append(Conv(f"Conv2d_0{letter}_{height}x{width}", size, channels))
    return rows
