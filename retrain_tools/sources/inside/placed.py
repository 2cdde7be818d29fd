"""The tensor that each layer gives in the frozen graph, told by scopes and by variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.graphdef.view import GraphView
from retrain_tools.graphdef.walks import consumers
from retrain_tools.sources.contents import Frozen, Layer
from retrain_tools.sources.inside.part import Part

_READS = ("Identity", "ReadVariableOp", "Cast")


def list_layers(
    parts: Sequence[Part], frozen: Frozen | None, view: GraphView | None, tensors: Sequence[Tensor]
) -> list[Layer]:
    """Return a line for each layer: the models before the layers in them.

    Args:
        parts: as the file describes them.
        frozen: the frozen graph; None where the model cannot be frozen: then no tensor is known.
        view: the same, to look at.
        tensors: its tensors.
    """
    if frozen is None or view is None:
        return list(_unplaced(parts, ""))
    graph = _Graph(frozen, view, tensors)
    # Keras 3 opens each scope twice, so that layers get the second name; Keras 2 opens it once.
    tried = [list(graph.placed(parts, "", "", times)) for times in (1, 2)]
    found = max(tried, key=lambda layers: sum(layer.tensor is not None for layer in layers))
    if any(part.constants for part in parts):  # in the file's order, which says nothing
        found.sort(key=graph.order)
    return found


def _unplaced(parts: Sequence[Part], above: str) -> Iterator[Layer]:
    for part in parts:
        path = f"{above}{part.name}"
        yield Layer(path, part.kind, None, part.parameters, None)
        yield from _unplaced(part.parts, f"{path}/")


class _Graph:
    """A frozen graph, looked at for scopes."""

    def __init__(self, frozen: Frozen, view: GraphView, tensors: Sequence[Tensor]) -> None:
        self._inputs = dict(frozen.inputs)
        self._shapes = {tensor.name: tensor.shape for tensor in tensors}
        self._nodes = {node.name: node for node in view.node}
        self._numbers = {name: number for number, name in enumerate(self._nodes)}
        self._after = consumers(view)
        self._ends = set(frozen.outputs.values())
        self._scopes: dict[str, list[str]] = {}
        for name in self._nodes:
            at = name.find("/")
            while at >= 0:
                self._scopes.setdefault(name[:at], []).append(name)
                at = name.find("/", at + 1)

    def order(self, layer: Layer) -> int:
        """Return how many nodes come before what a layer gives; last are those that are unknown."""
        last = len(self._numbers)
        return last if layer.tensor is None else self._numbers[node_name(layer.tensor)]

    def placed(self, parts: Sequence[Part], above: str, prefix: str, times: int) -> Iterator[Layer]:
        """Yield the layers with what they give; `times` is how often their scopes are opened."""
        used: dict[str, int] = {}
        for part in parts:
            if part.constants and not any(name in self._nodes for name in part.constants):
                continue  # variables that nothing of this signature takes, as Keras 3's copies
            path = f"{above}{part.name}"
            name = ""
            for _ in range(times):
                name = _unique(part.name, used)
            scope = self._scope(part, f"{prefix}{name}")
            tensor = self._gives(part, scope)
            shape = None if tensor is None else self._shapes.get(tensor)
            yield Layer(path, part.kind, shape, part.parameters, tensor)
            below = prefix if scope is None else f"{scope}/"
            yield from self.placed(part.parts, f"{path}/", below, times)

    def _scope(self, part: Part, expected: str) -> str | None:
        if not part.constants:
            return expected if expected in self._scopes else None
        last = re.escape(part.name.rpartition("/")[2])
        takers = {taker for name in part.constants for taker in self._takers(name)}
        found = set()
        for taker in takers:
            pieces = taker.split("/")[:-1]
            at = [i for i, piece in enumerate(pieces) if re.fullmatch(rf"{last}(_\d+)*", piece)]
            if not at:
                return None
            found.add("/".join(pieces[: at[-1] + 1]))
        return found.pop() if len(found) == 1 else None

    def _takers(self, name: str) -> list[str]:
        """Return the nodes that take a variable's value, through what only reads it."""
        found: list[str] = []
        waiting = [name]
        while waiting:
            for taker in self._after.get(waiting.pop(), ()):
                is_read = self._nodes[taker].op in _READS
                (waiting if is_read else found).append(taker)
        return found

    def _gives(self, part: Part, scope: str | None) -> str | None:
        """Return the tensor of a scope that other scopes take, or that the graph ends in."""
        if scope is None:
            if part.kind == "InputLayer":
                own = f"{part.name}:0"
                return self._inputs.get(part.name) or (own if own in self._shapes else None)
            return self._given_by(part.constants) if part.constants else None
        inside = set(self._scopes[scope])
        given: dict[str, None] = {}
        for name in self._scopes[scope]:
            after = self._after.get(name, ())
            outside = [taker for taker in after if taker not in inside]
            if self._nodes[name].op == "Const":
                continue
            made = {full_name(i) for taker in outside for i in self._nodes[taker].input}
            given |= dict.fromkeys(t for t in sorted(made) if node_name(t) == name)
            if not after or f"{name}:0" in self._ends:
                given[f"{name}:0"] = None
        return next(reversed(given), None)

    def _given_by(self, constants: Sequence[str]) -> str | None:
        """Return what the last node makes that takes one of the variables, as a bias is added."""
        takers = {taker for name in constants for taker in self._takers(name)}
        last = max(takers, key=self._numbers.__getitem__, default=None)
        return None if last is None else f"{last}:0"


def _unique(name: str, used: dict[str, int]) -> str:
    """Return the name that TensorFlow gives to a scope of this name (framework/ops.py)."""
    key = name
    number = used.get(key, 0)
    used[key] = number + 1
    if number:
        while key in used:
            key = f"{name}_{number}"
            number += 1
        used[key] = 1
    return key
