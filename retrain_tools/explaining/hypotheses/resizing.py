"""How an image came to the network's size: cut, padded, resized in which way and how often."""

from __future__ import annotations

from collections.abc import Iterator

from retrain_tools.explaining.hypotheses.facts import Facts, Move
from retrain_tools.explaining.pipeline import FILTERS, WORDS, Pipeline

# Sizes that networks and data sets have.
_FIRST_SIDES = (150, 224, 256, 299, 128, 512)
SIDES = (150, 224, 299, 256, 128, 160, 192)


def methods(_: Facts, __: Pipeline) -> Iterator[Move]:
    """Every method of resizing."""
    yield from ({"resize": name} for name in FILTERS)


def roundings(_: Facts, pipeline: Pipeline) -> Iterator[Move]:
    """Whole levels after TensorFlow's resizing; Pillow gives nothing else."""
    if not pipeline.resize.startswith("pillow"):
        yield from ({"rounding": name} for name in WORDS["rounding"])


def crops(_: Facts, __: Pipeline) -> Iterator[Move]:
    """What is cut out or padded."""
    yield from ({"crop": name} for name in WORDS["crop"])


def first_sizes(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """Resizing twice."""
    yield {"first_size": "none"}
    yield from ({"first_size": str(side)} for side in _FIRST_SIDES if side != facts.side)


def sizes(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """Images of another size than the graph's, where the network takes them."""
    for side in dict.fromkeys((facts.side, *SIDES)):
        yield {"size": f"{side}x{side}"}
