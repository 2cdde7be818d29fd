"""A graph whose nodes call functions, as TensorFlow 2 writes them, to one without calls.

Nothing is run. Nodes keep the names that they have in their functions wherever these are unique, so
that `StatefulPartitionedCall/model/conv1/Relu` is `model/conv1/Relu`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.functions import body_tensor
from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.ops import functions

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DEEPEST = 60  # functions within functions; TensorFlow's own limit for inlining is 50
# Written out, a graph may be so many times as large as its file; a small one up to _MOST. Ten
# functions that call each other ten times would be ten thousand million.
_MOST_TIMES = 20
_STEP = "\0"  # between the call and the node, in names that are used only while inlining


class Inlined(NamedTuple):
    """A graph without calls.

    Attributes:
        graph_def: a `schema.GraphDef`. The library has the functions that conditionals and loops
            still need.
        tensors: by the full name of each output of a call in the old graph, the one in the new.
    """

    graph_def: Any
    tensors: Mapping[str, str]


def inline_calls(graph_def: Any, where: str, only: Collection[str] | None = None) -> Inlined:
    """Put the body of each called function in place of the call, to any depth.

    Control edges inside functions only order side effects; they are dropped with the calls'.

    Args:
        graph_def: a `schema.GraphDef` with its library; it is not changed.
        where: its file, for messages.
        only: names of the calls to replace, the others being left out with their outputs; None
            for all.

    Raises:
        InputError: a function is missing or calls itself, or the graph would be too large.
    """
    inliner = _Inliner(graph_def, where)
    inliner.check_size()
    calls = []
    for node in graph_def.node:
        if inliner.function_of(node) is None:
            inliner.add(node.name, node, node.input)
        elif only is None or node.name in only:
            calls.append(node)
    for node in calls:
        inliner.expand(node.name, node, tuple(node.input), ())
    return inliner.finish()


class _Size(NamedTuple):
    """How large a graph is."""

    nodes: int
    bytes: int

    @classmethod
    def of(cls, nodes: Iterable[Any]) -> _Size:
        """Return the size of nodes that are there."""
        sizes = [node.ByteSize() for node in nodes]
        return cls(len(sizes), sum(sizes))

    def plus(self, other: _Size) -> _Size:
        """Return the size of both together."""
        return _Size(self.nodes + other.nodes, self.bytes + other.bytes)


_MOST = _Size(100_000, 1 << 28)


class _Inliner:
    """Collects nodes under names that cannot clash (`call NUL node`), and renames them at last."""

    def __init__(self, graph_def: Any, where: str) -> None:
        self._functions = {f.signature.name: f for f in graph_def.library.function}
        self._signatures = functions(graph_def)
        self._empty = schema.GraphDef(versions=graph_def.versions, library=graph_def.library)
        self._where = where
        self._calling = graph_def.node
        self._nodes: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}

    def function_of(self, node: Any) -> str | None:
        """Return the function that a node calls, if that is all it does."""
        if node.op in _CALLS:
            return str(node.attr["f"].func.name)
        return node.op if node.op in self._functions else None  # as TensorFlow 1's Defun does

    def check_size(self) -> None:
        """Raise InputError if the functions, written out, would be out of proportion."""
        bodies = {name: list(f.node_def) for name, f in self._functions.items()}
        stored = _Size.of(itertools.chain(self._calling, *bodies.values()))
        most = _Size(
            max(_MOST.nodes, _MOST_TIMES * stored.nodes),
            max(_MOST.bytes, _MOST_TIMES * stored.bytes),
        )
        sizes: dict[str, _Size] = {}

        def size(nodes: Iterable[Any], callers: tuple[str, ...]) -> _Size:
            total = _Size(0, 0)
            for node in nodes:
                name = self.function_of(node)
                if name is None:
                    total = total.plus(_Size.of([node]))
                elif name in bodies and name not in callers and len(callers) < _DEEPEST:
                    if name not in sizes:
                        sizes[name] = size(bodies[name], (*callers, name))
                    total = total.plus(sizes[name])
            return total

        found = size(self._calling, ())
        if found.nodes > most.nodes or found.bytes > most.bytes:
            raise InputError(
                f"{self._where} cannot be frozen: its functions, written out, have "
                f"{found.nodes:,} nodes of {found.bytes:,} bytes."
            )

    def add(self, key: str, node: Any, inputs: Iterable[str]) -> None:
        """Keep a copy of a node that calls nothing."""
        copied = self._nodes[key] = schema.NodeDef()
        copied.CopyFrom(node)
        copied.input[:] = inputs

    def expand(
        self, key: str, call: Any, inputs: tuple[str, ...], callers: tuple[str, ...]
    ) -> None:
        """Add the nodes of the function that `call` calls; its tensors become aliases."""
        function = self._function(str(self.function_of(call)), callers)
        name = function.signature.name
        inputs = tuple(i for i in inputs if not i.startswith("^"))
        arguments = dict(zip((a.name for a in function.signature.input_arg), inputs, strict=False))
        if len(inputs) != len(function.signature.input_arg):
            raise InputError(
                f"{self._where} is damaged: node {key.split(_STEP)[-1]!r} gives {len(inputs)} "
                f"inputs to {name!r}, which takes {len(function.signature.input_arg)}."
            )
        body = {node.name: node for node in function.node_def}
        where = f"{self._where}: the function {name!r}"

        def resolve(source: str) -> str:
            producer, number = body_tensor(source, arguments, body, self._signatures, where)
            if producer in arguments and producer not in body:
                if number:
                    raise InputError(
                        f"{where} takes a list of tensors, which cannot be written out."
                    )
                return full_name(arguments[producer])
            if number is None:
                raise InputError(
                    f"{self._where} uses {source!r} of op {body[producer].op!r}, which is unknown "
                    "here."
                )
            return f"{key}{_STEP}{producer}:{number}"

        for node in function.node_def:
            inside = f"{key}{_STEP}{node.name}"
            sources = tuple(resolve(i) for i in node.input if not i.startswith("^"))
            if self.function_of(node) is None:
                self.add(inside, node, sources)
            else:
                self.expand(inside, node, sources, (*callers, name))
        results = [function.ret[out.name] for out in function.signature.output_arg]
        self._aliases |= {f"{key}:{i}": resolve(source) for i, source in enumerate(results)}

    def _function(self, name: str, callers: tuple[str, ...]) -> Any:
        if name not in self._functions:
            raise InputError(
                f"{self._where} is damaged: it calls {name!r}, which it does not hold."
            )
        if name in callers or len(callers) >= _DEEPEST:
            raise InputError(
                f"{self._where} cannot be frozen: the function {name!r} calls itself, or is "
                f"called more than {_DEEPEST} functions deep."
            )
        return self._functions[name]

    def finish(self) -> Inlined:
        """Rename the nodes, and let every input name its new producer."""
        names = self._final_names()

        def final(source: str) -> str:
            if source.startswith("^"):
                return f"^{names[source[1:]]}"
            tensor = self._followed(full_name(source))
            producer, _, index = tensor.rpartition(":")
            new = names.get(producer, producer)
            return new if index == "0" else f"{new}:{index}"

        for key, node in self._nodes.items():
            node.name = names[key]
            node.input[:] = [
                final(source)
                for source in node.input
                if not source.startswith("^") or source[1:] in names
            ]
        self._empty.node.extend(self._nodes.values())
        made = [tensor for tensor in self._aliases if _STEP not in tensor]
        return Inlined(self._empty, {tensor: full_name(final(tensor)) for tensor in made})

    def _followed(self, tensor: str) -> str:
        for _ in range(len(self._aliases) + 1):
            if tensor not in self._aliases:
                return tensor
            tensor = self._aliases[tensor]
        raise InputError(f"{self._where} is damaged: a function's result is its own input.")

    def _final_names(self) -> dict[str, str]:
        """Choose the shortest of `node`, `call/node`, … that no other node has."""
        names = {key: key for key in self._nodes if _STEP not in key}
        taken = set(names.values())
        for key in self._nodes:
            if key not in names:
                name = next(name for name in _names(key) if name not in taken)
                names[key] = name
                taken.add(name)
        return names


def _names(key: str) -> Iterator[str]:
    steps = key.split(_STEP)
    yield from ("/".join(steps[start:]) for start in reversed(range(len(steps))))
    yield from (f"{steps[-1]}_{number}" for number in itertools.count(1))
