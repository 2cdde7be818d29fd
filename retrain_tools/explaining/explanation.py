"""What travels between a comparison and its explanation: what can be run again, and a verdict."""

from __future__ import annotations

import dataclasses
from typing import Literal

from retrain_tools.graphdef.spec import FrozenGraph

Verdict = Literal["agree", "explained", "partial", "different_weights", "unknown"]


@dataclasses.dataclass(frozen=True)
class Runnable:
    """A side of a comparison that can be run again.

    Attributes:
        frozen: its graph.
        tensor: full name of the tensor that its features are.
        pooling: `avg`, `max` or `flatten`, as its features were pooled; None if they were not.
    """

    frozen: FrozenGraph
    tensor: str
    pooling: str | None = None


@dataclasses.dataclass(frozen=True)
class Cause:
    """One step on the way from an image to its features, done otherwise.

    Attributes:
        slot: which step: `resize`, `scale`, `pooling`.
        name: how it is done, a word for JSON: `half_pixel_bilinear`.
        words: the same for people: `half-pixel bilinear resizing`.
    """

    slot: str
    name: str
    words: str


@dataclasses.dataclass(frozen=True)
class Tried:
    """A row of the ranked table.

    Attributes:
        causes: what was changed.
        error: the mean absolute difference that is left, on the images tried.
        share: how much of the difference before it removes, 0 to 1.
        images: on how many images it was tried.
    """

    causes: tuple[Cause, ...]
    error: float
    share: float
    images: int


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why two sets of features differ.

    Attributes:
        verdict: whether they agree, or what is known of the cause.
        causes: the best that was found; empty for `agree`, `different_weights` and `unknown`.
        before: mean absolute difference over all matched images.
        after: what is left of it when the causes are taken into account.
        sentence: the verdict with its evidence, for people.
        tried: what else was tried, best first.
        command: what makes them agree: a command, or lines of Python where none does; None if
            nothing is known to.
        notes: what else was found, for people.
    """

    verdict: Verdict
    causes: tuple[Cause, ...]
    before: float
    after: float
    sentence: str
    tried: tuple[Tried, ...] = ()
    command: str | None = None
    notes: tuple[str, ...] = ()
