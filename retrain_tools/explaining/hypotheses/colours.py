"""What pixels became before the network took them: their scale, and the order of their colours."""

from __future__ import annotations

from collections.abc import Iterator

from retrain_tools.explaining.hypotheses.facts import Facts, Move
from retrain_tools.explaining.pipeline import WORDS, Pipeline


def scales(_: Facts, __: Pipeline) -> Iterator[Move]:
    """Every scaling."""
    yield from ({"scale": name} for name in WORDS["scale"])


def channel_orders(_: Facts, __: Pipeline) -> Iterator[Move]:
    """RGB or BGR, before the scaling or after it."""
    yield from ({"channels": name} for name in WORDS["channels"])
