"""A layer as a file describes it, with the layers in it; and grouping variables by their names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from retrain_tools.sources.contents import TensorInfo


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer, or a model, as a file describes it.

    Attributes:
        name: its own name, without those of the models that it is in.
        kind: its class, `Conv2D`; None where the file does not say.
        parameters: how many values its variables hold, those of the layers in it included.
        constants: the nodes that its own variables become in a frozen graph, where it is known by
            these and not by its scope.
        parts: the layers in it, in the order in which they are called.
    """

    name: str
    kind: str | None
    parameters: int
    constants: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def size_of(variables: Iterable[TensorInfo]) -> int:
    """Return how many values variables hold; those of unknown shape count as none."""
    return sum(
        math.prod(d or 0 for d in info.shape) for info in variables if info.shape is not None
    )


def parts_by_scope(named: Sequence[tuple[str, TensorInfo]]) -> tuple[Part, ...]:
    """Return a part for each scope that holds variables.

    Args:
        named: each variable under the path that groups it: `Conv1/kernel` is in the scope `Conv1`.

    Example:
        >>> parts_by_scope([("Conv1/kernel", TensorInfo("Conv1/kernel", "float32", (3, 3, 3, 8)))])
        (Part(name='Conv1', kind=None, parameters=216, constants=('Conv1/kernel',), parts=()),)
    """
    scopes: dict[str, list[TensorInfo]] = {}
    for path, info in named:
        scopes.setdefault(path.rpartition("/")[0] or ".", []).append(info)
    return tuple(
        Part(scope, None, size_of(held), tuple(info.name for info in held))
        for scope, held in scopes.items()
    )
