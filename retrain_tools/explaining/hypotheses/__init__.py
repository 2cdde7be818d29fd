"""The hypotheses: for each step of a pipeline the values that are tried, cheap and usual first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from retrain_tools.explaining.hypotheses import colours, decoding, networks, resizing
from retrain_tools.explaining.hypotheses.facts import Facts, Move
from retrain_tools.explaining.pipeline import Pipeline


class Family(NamedTuple):
    """A family of hypotheses.

    Attributes:
        name: the step of the pipeline that they change.
        moves: gives them, for what is known and the pipeline that they start from. One that leaves
            the pipeline as it is does no harm.
        is_dear: whether each of them opens the network anew.
    """

    name: str
    moves: Callable[[Facts, Pipeline], Iterator[Move]]
    is_dear: bool = False


FAMILIES = (
    Family("tensor", networks.fetches),
    Family("scale", colours.scales),
    Family("channels", colours.channel_orders),
    Family("resize", resizing.methods),
    Family("crop", resizing.crops),
    Family("decoder", decoding.decoders),
    Family("orientation", decoding.orientations),
    Family("rounding", resizing.roundings),
    Family("first_size", resizing.first_sizes),
    Family("stored", decoding.stored_files),
    Family("size", resizing.sizes, is_dear=True),
    Family("network", networks.batch_norms, is_dear=True),
    Family("precision", networks.precisions, is_dear=True),
)


def moves(facts: Facts, pipeline: Pipeline, with_dear: bool) -> Iterator[Pipeline]:
    """Yield every pipeline that one move of a family leads to, in the families' order."""
    for family in FAMILIES:
        if family.is_dear and not with_dear:
            continue
        for move in family.moves(facts, pipeline):
            changed = pipeline
            for slot, value in move.items():
                changed = changed.with_value(slot, value)
            if changed != pipeline:
                yield changed
