"""Values of a graph's variables, read one by one from the checkpoint that belongs to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from retrain_tools.errors import InputError
from retrain_tools.sources.checkpoint_files import Checkpoint
from retrain_tools.sources.contents import Array, ReadValue
from retrain_tools.sources.freezing.variable_places import VariablePlace
from retrain_tools.sources.kinds import Place


def stored_values(
    prefix: Place, find_places: Callable[[Checkpoint], Mapping[str, VariablePlace]], where: str
) -> ReadValue:
    """Return what reads the value of a graph's variable; the checkpoint is opened with the first.

    Args:
        prefix: the checkpoint's.
        find_places: says where the checkpoint keeps each variable, by node name.
        where: the file that the graph is in, for error messages.

    Returns:
        A function of the variable's name. It raises InputError where the checkpoint is missing or
        damaged, or does not have the variable.
    """

    @functools.cache
    def opened() -> tuple[Checkpoint, Mapping[str, VariablePlace]]:
        checkpoint = Checkpoint(prefix)
        return checkpoint, find_places(checkpoint)

    def read(name: str) -> Array:
        checkpoint, places = opened()
        place = places.get(name)
        if place is None or place.key not in checkpoint.shapes:
            sought = "" if place is None or place.key == name else f" (as {place.key!r})"
            raise InputError(
                f"{where}: the variable {name!r} has no value in {prefix}{sought}; "
                "the checkpoint is of another graph, or was written without it."
            )
        return checkpoint.read(place.key, place.part)

    return read
