"""Which network of keras.applications weights are of, told by their shapes and without Keras."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_TABLE = Path(__file__).parent / "data/applications.json.gz"

Layer = tuple[tuple[int, ...], ...]
"""The shapes of what a layer holds."""

CLASSES = 1000
"""Of ImageNet, which the networks of keras.applications are made for."""


class _Network(NamedTuple):
    name: str
    arguments: Mapping[str, Any]
    layers: Sequence[Layer]
    without_top: Sequence[Layer]
    counted: Counter[Layer]  # all layers, in whatever order
    body: Counter[Layer]  # those without the top


@dataclasses.dataclass(frozen=True)
class Fit:
    """A network that weights fit.

    Attributes:
        application: its name in keras.applications.
        arguments: what it has to be called with besides: `{"alpha": 0.25}`.
        top: `whole`, `none`, or `other` for a top that is not the network's own.
        classes: how many the whole network tells apart.
        body: how many of the layers are not of the top.
    """

    application: str
    arguments: Mapping[str, Any]
    top: str
    classes: int
    body: int

    @property
    def name(self) -> str:
        """The network in words, with its arguments."""
        return _name(self.application, self.arguments)

    def __str__(self) -> str:
        if self.top == "none":
            return f"{self.name} without its top"
        if self.top == "other":
            return f"{self.name} with a top of its own"
        return self.name if self.classes == CLASSES else f"{self.name} for {self.classes} classes"


class Nearest(NamedTuple):
    """The network that has most layers in common with weights that fit none.

    Attributes:
        name: the network, with its arguments.
        lacking: the layers that it has and the weights have not.
        extra: the numbers of those layers of the weights that it has not.
    """

    name: str
    lacking: Sequence[Layer]
    extra: Sequence[int]


def find_fits(layers: Sequence[Layer]) -> list[Fit]:
    """Return the networks of keras.applications that weights fit, the whole ones first.

    The order of the layers does not matter, nor that of the arrays in a layer: both differ between
    versions of Keras. Only a top that is not the network's own has to come last.

    Args:
        layers: the shapes of each layer that holds something, kernels as TensorFlow has them.

    Example:
        >>> kernel = (1, 1, 3, 64)
        >>> find_fits([(kernel, (64,))])
        []
    """
    sought = Counter(map(_key, layers))
    found = [fit for n in _networks() if (fit := _fit(n, sought, len(layers))) is not None]
    if not found:
        found = [
            Fit(n.name, n.arguments, "other", 0, len(n.without_top))
            for n in _networks()
            if _has_other_top(n, layers)
        ]
        most = max((fit.body for fit in found), default=0)
        found = [fit for fit in found if fit.body == most]
    return sorted(found, key=lambda fit: fit.top != "whole")


def find_nearest(layers: Sequence[Layer]) -> Nearest | None:
    """Return the network that most layers are of; None where less than half are of any."""
    sought = Counter(map(_key, layers))

    def shared(counted: Counter[Layer]) -> float:
        return 2 * (sought & counted).total() / (sought.total() + counted.total())

    counts = [(n, counted) for n in _networks() for counted in (n.counted, n.body)]
    network, counted = max(counts, key=lambda one: shared(one[1]))
    if shared(counted) < 0.5:
        return None
    is_whole = counted is network.counted
    part = network.layers if is_whole else network.without_top
    extra, left = [], counted.copy()
    for number, layer in enumerate(layers):
        if left[_key(layer)]:
            left[_key(layer)] -= 1
        else:
            extra.append(number)
    lacking = []
    for layer in part:
        if left[_key(layer)]:
            left[_key(layer)] -= 1
            lacking.append(layer)
    ending = "" if is_whole else " without its top"
    return Nearest(_name(network.name, network.arguments) + ending, lacking, extra)


def _fit(network: _Network, sought: Counter[Layer], count: int) -> Fit | None:
    full, body = network.counted, network.body
    made = functools.partial(Fit, network.name, network.arguments)
    if sought == full:
        return made("whole", CLASSES, len(network.without_top))
    if sought == body:
        return made("none", CLASSES, count)
    top = sought - body
    if body - sought or body - full:
        return None
    for classes in {shape[-1] for layer in top for shape in layer if shape}:
        own = [tuple(_of_classes(s, classes) for s in layer) for layer in (full - body).elements()]
        if Counter(map(_key, own)) == top:
            return made("whole", classes, len(network.without_top))
    return None


def _of_classes(shape: tuple[int, ...], classes: int) -> tuple[int, ...]:
    return (*shape[:-1], classes) if shape and shape[-1] == CLASSES else shape


def _has_other_top(network: _Network, layers: Sequence[Layer]) -> bool:
    """Tell whether what comes after a network's body is flat, as dense layers and norms are."""
    count = len(network.without_top)
    top = layers[count:]
    return (
        bool(top)
        and all(len(shape) <= 2 for layer in top for shape in layer)
        and (Counter(map(_key, layers[:count])) == network.body)
    )


def _key(layer: Sequence[Sequence[int]]) -> Layer:
    return tuple(sorted(tuple(shape) for shape in layer))


def _name(application: str, arguments: Mapping[str, Any]) -> str:
    return " ".join([application, *(f"{key}={value}" for key, value in arguments.items())])


@functools.cache
def _networks() -> Sequence[_Network]:
    """Read the table that `tools/make_application_weights.py` made."""
    table = json.loads(gzip.decompress(_TABLE.read_bytes()))
    kinds = [tuple(map(tuple, layer)) for layer in table["layers"]]
    networks = []
    for network in table["networks"]:
        full = [kinds[number] for number in network["layers"]]
        part = network["without_top"]
        body = full[:part] if isinstance(part, int) else [kinds[number] for number in part]
        counts = (Counter(map(_key, layers)) for layers in (full, body))
        networks.append(_Network(network["name"], network["arguments"], full, body, *counts))
    return networks
