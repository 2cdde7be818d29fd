"""The layers of inception-2015-12-05: slim's table of Inception v3, in the scopes of 2015.

Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision" (arXiv:1512.00567),
table 1 and figures 5, 6, 7 and 10, with the channels of the published graph.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrain_tools.slim import inception_v3
from retrain_tools.slim.rows import AvgPool, MaxPool, Row

Layers = Sequence[Row]
Branches = Sequence[tuple[str, Layers]]
"""The branches of a block in the order of its nodes, each with its name scope ("" for none)."""

LOGITS = 1008
IMAGE_SIDE = 299
STEM = inception_v3.STEM


def _in_towers(branches: Sequence[Layers]) -> Branches:
    """Give branches of several layers the scopes `tower`, `tower_1`, …; a single layer has none."""
    towers = iter(("tower", "tower_1", "tower_2"))
    return [("" if len(layers) == 1 else next(towers), layers) for layers in branches]


MIXED: dict[str, Branches] = {
    f"mixed_{number}" if number else "mixed": _in_towers(branches)
    for number, branches in enumerate(inception_v3.MIXED.values())
}
# The last block has a MaxPool where slim has an AvgPool.
MIXED["mixed_10"] = [
    (tower, [MaxPool("", row.size) if isinstance(row, AvgPool) else row for row in layers])
    for tower, layers in MIXED["mixed_10"]
]
