"""The names in a slim checkpoint: which are the network's, which are the training's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

_MOVING_AVERAGE = "/ExponentialMovingAverage"

# Slots of tf.train's optimizers, the copies of tf.train.ExponentialMovingAverage, what batch norm
# keeps to correct the start of its averages, and the mean colour that is kept with vgg_16 and
# resnet_v1_50. Most of them only ever come after a variable's own name.
_NOT_THE_NETWORK = re.compile(
    r"""(^|/)(
        (Adadelta|Adagrad|Adam|Ftrl|Momentum|RMSProp)(_\d+)?
        | ExponentialMovingAverage | biased | local_step | mean_rgb
    )$
    | ^(global_step | beta[12]_power(_\d+)? | _CHECKPOINTABLE_OBJECT_GRAPH)$""",
    re.VERBOSE,
)

_MOST_NAMES_LISTED = 3


def select_variables(names: Iterable[str], moving_averages: bool = False) -> dict[str, str]:
    """Return under which name to read each of a network's variables.

    Steps, optimizer slots and other things of the training are left out.

    Args:
        names: all names in the checkpoint.
        moving_averages: whether to prefer the moving average of a variable, where there is one.
            The MobileNets' published accuracies are those of the moving averages.

    Returns:
        Names in the checkpoint by name of the variable.
    """
    names = list(names)
    selected = {name: name for name in names if not _NOT_THE_NETWORK.search(name)}
    if moving_averages:
        averages = [name for name in names if name.endswith(_MOVING_AVERAGE)]
        selected.update({name.removesuffix(_MOVING_AVERAGE): name for name in averages})
    return selected


def differences(expected: Shapes, found: Shapes, extra: bool) -> str:
    """Say how variables differ from those of a network, by name; empty if they do not.

    Args:
        expected: the network's.
        found: the checkpoint's.
        extra: whether to mention variables that the network does not have.
    """
    missing = [repr(name) for name in expected if name not in found]
    other_shape = [
        f"{name!r} ({_text(found[name])} instead of {_text(shape)})"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != tuple(shape)
    ]
    unknown = [repr(name) for name in found if name not in expected] if extra else []
    parts = {"missing": missing, "of another shape": other_shape, "not the network's": unknown}
    return "; ".join(
        f"{len(names)} {kind}: {_listed(names)}" for kind, names in parts.items() if names
    )


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES_LISTED
    return ", ".join(names[:_MOST_NAMES_LISTED]) + (f" and {more} more" if more > 0 else "")
