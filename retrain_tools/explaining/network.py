"""A network that can be run on pixels of any preparation: where they enter it, and its features."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.body import Body
from retrain_tools.engine.plan import plan_body
from retrain_tools.engine.session import EngineError, TensorFlowEngine
from retrain_tools.errors import InputError
from retrain_tools.explaining.network_variants import changed_graph
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import PASS_THROUGH
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tensors import consumers_by_tensor, list_tensors
from retrain_tools.graphdef.view import view_of
from retrain_tools.graphdef.walks import downstream, successors
from retrain_tools.graphdef.weights import light_copy

Floats = npt.NDArray[np.float32]

# What scales pixels, or turns their colours, one by one.
_SCALING = (
    *(*PASS_THROUGH, "Cast", "Sub", "Mul", "Add", "AddV2", "RealDiv", "Div", "BiasAdd"),
    *("ReverseV2", "Reverse", "StridedSlice", "GatherV2"),
)
_NETWORK_INPUT = "network_input"  # that is what `keras:NAME` graphs call it


_MOST_OPEN = 2  # networks beside the graph's own: each holds all weights


class NotPossibleError(Exception):
    """This network does not run in that way: not of that size, or not to that tensor."""


def network_input(frozen: FrozenGraph) -> str:
    """Return the tensor where pixels enter a network, after all scaling that the graph does.

    From the pixel input on, nodes that only scale or reorder colours are passed, as long as nothing
    else takes what they make.
    """
    graph = view_of(frozen.graph_def)
    nodes, users = nodes_by_name(graph), consumers_by_tensor(graph)
    if _NETWORK_INPUT in nodes:
        return f"{_NETWORK_INPUT}:0"
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(graph)}
    tensor = frozen.spec.pixel_input
    while True:
        following = users.get(tensor, [])
        made = f"{following[0]}:0" if len(following) == 1 else ""
        node = nodes.get(node_name(made))
        if node is None or node.op not in _SCALING or full_name(node.input[0]) != tensor:
            return tensor
        shape = shapes.get(made)
        if shape is not None and (len(shape) != 4 or shape[3] not in (None, frozen.spec.channels)):
            return tensor
        tensor = made


def scaling_part(frozen: FrozenGraph, entry: str) -> TensorFlowEngine | None:
    """Open the part of a graph from its pixel input to the network's, if there is one."""
    spec = frozen.spec
    if entry == spec.pixel_input:
        return None
    light, weights = plan_body(frozen.graph_def, spec, [entry])
    allowed = frozen.allow_unsafe_graph
    return TensorFlowEngine(light, weights, spec.pixel_input, [entry], str(frozen.path), allowed)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a network is run: all that is done to it, and not to the pixels."""

    sides: tuple[int, int]
    network: str = "own"
    precision: str = "float32"

    def training_batch(self) -> int | None:
        """Return how many images share batch statistics; None where each is on its own."""
        kind, _, number = self.network.partition("_")
        return int(number) if kind == "training" else None


class _Opened(NamedTuple):
    """A network that is open, and how many images it takes at a time."""

    run: Callable[[Floats], list[Floats]]
    most: int


class Network(contextlib.AbstractContextManager["Network"]):
    """A network, opened once for each way of running it. Close it after use.

    Safe to use from several threads.
    """

    def __init__(self, frozen: FrozenGraph, entry: str, tensors: Sequence[str]) -> None:
        """Open the graph as it is; `entry` is where pixels enter, `tensors` what is fetched.

        Raises:
            InputError: it cannot be run.
        """
        self._frozen, self._entry, self._tensors = frozen, entry, tuple(tensors)
        self._opening = threading.Lock()
        self._closing = contextlib.ExitStack()
        body = self._closing.enter_context(
            Body(self._changed(Way(frozen.spec.image_size)), tensors)
        )
        self._most = body.batch_size
        self._own = Way(frozen.spec.image_size)
        self._bodies: dict[tuple[str, ...], _Opened | None] = {
            self._tensors: _Opened(body.run, self._most)
        }
        self._others: dict[
            tuple[Way, tuple[str, ...]], tuple[_Opened | None, contextlib.ExitStack]
        ] = {}

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, pixels: Floats, way: Way, tensors: Sequence[str]) -> list[Floats]:
        """Return each tensor for prepared pixels [n, h, w, 3]: float32 [n, ...].

        Raises:
            NotPossibleError: the network does not run in this way.
        """
        wanted = tuple(tensors)
        fetched = self._tensors if set(wanted) <= set(self._tensors) else wanted
        if way == self._own:
            values = _values(self._body(fetched), pixels)
        else:  # one at a time: what is not used any more is closed
            with self._opening:
                values = _values(self._opened_once(way, fetched), pixels)
        if any(len(value) != len(pixels) for value in values):
            raise NotPossibleError("it gives no row for each image")
        return [values[fetched.index(tensor)] for tensor in wanted]

    def _body(self, tensors: tuple[str, ...]) -> _Opened:
        with self._opening:
            if tensors not in self._bodies:
                self._bodies[tensors] = self._open(self._own, tensors, self._closing)
            return _possible(self._bodies[tensors])

    def _opened_once(self, way: Way, tensors: tuple[str, ...]) -> _Opened:
        if (way, tensors) not in self._others:
            if len(self._others) == _MOST_OPEN:
                _, closing = self._others.pop(next(iter(self._others)))
                closing.close()
            closing = self._closing.enter_context(contextlib.ExitStack())
            self._others[way, tensors] = self._open(way, tensors, closing), closing
        return _possible(self._others[way, tensors][0])

    def _open(
        self, way: Way, tensors: Sequence[str], closing: contextlib.ExitStack
    ) -> _Opened | None:
        frozen = self._changed(way)
        try:
            light, weights = plan_body(frozen.graph_def, frozen.spec, tensors)
            where, allowed = str(frozen.path), frozen.allow_unsafe_graph
            engine = TensorFlowEngine(light, weights, self._entry, tensors, where, allowed)
        except InputError:
            return None
        closing.enter_context(engine)
        return _Opened(engine.run, way.training_batch() or self._most)

    def _changed(self, way: Way) -> FrozenGraph:
        graph_def = changed_graph(self._frozen.graph_def, way.network, way.precision)
        spec = dataclasses.replace(self._frozen.spec, pixel_input=self._entry, image_size=way.sides)
        return dataclasses.replace(self._frozen, graph_def=graph_def, spec=spec)


def _possible(opened: _Opened | None) -> _Opened:
    if opened is None:
        raise NotPossibleError("it does not run in this way")
    return opened


def _values(opened: _Opened, pixels: Floats) -> list[Floats]:
    run, most = opened
    try:
        parts = [run(pixels[row : row + most]) for row in range(0, len(pixels), most)]
    except EngineError as error:
        raise NotPossibleError(str(error)) from error
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


def tensors_after(frozen: FrozenGraph, entry: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return the float tensors that a network computes, and one image's shape in each.

    They are feature maps [h, w, c] and vectors [depth] of the graph's own image size, in file
    order. Nodes that only pass values on are left out.
    """
    graph = view_of(frozen.graph_def)
    after = downstream(successors(graph), [entry])
    known = propagated_shapes(frozen, entry)
    found = []
    for tensor in list_tensors(graph):
        shape = known.get(tensor.name)
        if shape is None or len(shape) not in (2, 4) or None in shape[1:]:
            continue
        name = node_name(tensor.name)
        if tensor.dtype == "float32" and tensor.op not in PASS_THROUGH and name in after:
            found.append((tensor.name, tuple(side for side in shape[1:] if side is not None)))
    return [one for one in found if one[0] != entry]


def propagated_shapes(frozen: FrozenGraph, entry: str) -> dict[str, Shape | None]:
    """Return the shapes of a graph's tensors where one image of the graph's size is fed."""
    spec = dataclasses.replace(frozen.spec, pixel_input=entry)
    light = light_copy(frozen.graph_def)
    for node in light.node:
        if node.name == node_name(entry):
            shape = (1, *spec.image_size, spec.channels)
            node.CopyFrom(new_node(node.name, "Placeholder", dtype=FLOAT32, shape=shape))
    return {tensor.name: tensor.shape for tensor in list_tensors(light)}
