"""Which network a checkpoint is of, from the names and shapes of its variables alone."""

from __future__ import annotations

from typing import NamedTuple

from retrain_tools.errors import InputError
from retrain_tools.slim.networks import NETWORKS, NetworkInfo, plan_network
from retrain_tools.slim.variables import Shapes, differences, select_variables


class Recognised(NamedTuple):
    """A network: arguments of `build_network`."""

    name: str
    num_classes: int
    width: float


def recognise(shapes: Shapes) -> Recognised:
    """Return the network that a checkpoint's variables are of.

    What the training keeps beside the network is ignored, and so are the variables of AuxLogits,
    which a checkpoint may lack and whose names depend on the image size of the training.

    Args:
        shapes: of all variables in the checkpoint, by name.

    Raises:
        InputError: it is none of the known networks; the message says how it differs from the
            nearest.
    """
    names = select_variables(shapes, moving_averages=True)
    found = {
        name: tuple(shapes[read_as])
        for name, read_as in names.items()
        if name.split("/")[1:2] != ["AuxLogits"]
    }
    scopes = {name.split("/")[0] for name in found}
    near = [
        (Recognised(info.name, _num_classes(info, found), width), info)
        for info in NETWORKS.values()
        if info.scope in scopes
        for width in info.widths
    ]
    if not near:
        some = next(iter(found), None)
        example = f"begins as {some!r} does" if some else "is empty"
        known = ", ".join(info.scope for info in NETWORKS.values())
        raise InputError(
            f"No slim network's checkpoint {example}; names of known networks begin with {known}."
        )
    plans = [(candidate, plan_network(*candidate).variables) for candidate, _ in near]
    candidate, expected = max(plans, key=lambda plan: len(plan[1].items() & found.items()))
    wrong = differences(expected, found, extra=True)
    if wrong:
        raise InputError(
            f"The variables are no known network's. {candidate.name} with {candidate.num_classes} "
            f"classes and width {candidate.width} is nearest; of its variables, {wrong}."
        )
    return candidate


def _num_classes(info: NetworkInfo, shapes: Shapes) -> int:
    biases = shapes.get(f"{info.scope}/{info.classifier}/biases", ())
    return biases[0] if len(biases) == 1 else info.num_classes
