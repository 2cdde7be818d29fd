"""What a list has to know of a graph of any kind: its ends, its consumers, and walks along it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef import navigate, walks
from retrain_tools.graphdef.tensors import (
    Tensor,
    consumers_by_tensor,
    graph_inputs,
    graph_outputs,
)
from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.sources.contents import Operator, OwnGraph


class GraphWiring:
    """That of a GraphDef, or a view of it, whose steps are nodes."""

    def __init__(self, graph_def: Any) -> None:
        self.graph_def = graph_def

    def inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return what a caller may feed."""
        return graph_inputs(self.graph_def, tensors)

    def outputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the results."""
        return graph_outputs(self.graph_def, tensors)

    @property
    def consumers(self) -> Mapping[str, Sequence[str]]:
        """The names of what takes each tensor, by the tensor's name."""
        return consumers_by_tensor(self.graph_def)

    @property
    def parts(self) -> Mapping[str, str]:
        """The steps that only serve training, and what for."""
        return training_parts(self.graph_def)

    def step(self, tensor: str) -> str:
        """Return the step that makes a tensor."""
        return navigate.node_name(tensor)

    def find(self, name: str, where: str) -> str:
        """Return the name of the tensor that a user means, or raise an InputError."""
        return navigate.check_tensor(name, navigate.nodes_by_name(self.graph_def), where)

    def upstream(self, tensor: str) -> set[str]:
        """Return the steps that a tensor is computed from."""
        return navigate.upstream(navigate.nodes_by_name(self.graph_def), [tensor])

    @property
    def after(self) -> walks.Successors:
        """The steps that come directly after each one."""
        return walks.successors(self.graph_def)


class OwnWiring:
    """That of a graph that is no GraphDef: its operators have no names, so its steps are tensors.

    A step has the tensor's number for a name, as a tensor's name may be any text.
    """

    parts: Mapping[str, str] = {}

    def __init__(self, graph: OwnGraph) -> None:
        self.graph = graph
        self.numbers = {tensor.name: str(n) for n, tensor in enumerate(graph.tensors)}

    def inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return what the file says is fed, in its order."""
        return _named(self.graph.inputs, tensors)

    def outputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return what the file says comes out, in its order."""
        return _named(self.graph.outputs, tensors)

    @property
    def consumers(self) -> Mapping[str, Sequence[str]]:
        """What takes each tensor: operators, by the first tensor that each one makes."""
        found: dict[str, list[str]] = {}
        for operator in self.graph.operators:
            for name in operator.inputs:
                found.setdefault(name, []).append(_name(operator))
        return found

    def step(self, tensor: str) -> str:
        """Return the step that makes a tensor."""
        return self.numbers[tensor]

    def find(self, name: str, where: str) -> str:
        """Return the name of the tensor that a user means, or raise an InputError."""
        for typed in (name, name.strip(), f"{name.strip()}:0", name.strip().removesuffix(":0")):
            if typed in self.numbers:
                return typed
        raise InputError(
            f"No tensor {name!r} in {where} ({len(self.numbers)} tensors)."
            f"{did_you_mean(name, self.numbers)} List them: list_tensors --graph={where}"
        )

    def upstream(self, tensor: str) -> set[str]:
        """Return the steps that a tensor is computed from."""
        before = self._edges("outputs", "inputs")
        return navigate.reached([self.numbers[tensor]], lambda step: before.get(step, ()), ())

    @functools.cached_property
    def after(self) -> walks.Successors:
        """The steps that come directly after each one."""
        return self._edges("inputs", "outputs")

    def _edges(self, start: str, end: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for operator in self.graph.operators:
            ends = [self.numbers[name] for name in getattr(operator, end)]
            for name in getattr(operator, start):
                found.setdefault(self.numbers[name], []).extend(ends)
        return found


Wiring = GraphWiring | OwnWiring


def wiring_of(graph: Any) -> Wiring:
    """Return the wiring of a GraphDef, a view of one, or an OwnGraph."""
    return OwnWiring(graph) if isinstance(graph, OwnGraph) else GraphWiring(graph)


def _named(names: Collection[str], tensors: Sequence[Tensor]) -> list[Tensor]:
    by_name = {tensor.name: tensor for tensor in tensors}
    return [by_name[name] for name in names]


def _name(operator: Operator) -> str:
    return operator.outputs[0] if operator.outputs else operator.op
