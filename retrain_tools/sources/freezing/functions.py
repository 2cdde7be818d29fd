"""A graph whose nodes call functions, as TensorFlow 2 writes them, to one without calls.

Nothing is run. Nodes keep the names that they have in their functions wherever these are unique, so
that `StatefulPartitionedCall/model/conv1/Relu` is `model/conv1/Relu`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.functions import body_tensor
from retrain_tools.graphdef.navigate import full_name

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DEEPEST = 60  # functions within functions; TensorFlow's own limit for inlining is 50
_MOST_NODES = 1_000_000
_STEP = "\0"  # between the call and the node, in names that are used only while inlining


@dataclasses.dataclass(frozen=True)
class Inlined:
    """A graph without calls.

    Attributes:
        graph_def: a `schema.GraphDef`. The library has the functions that conditionals and loops
            still need.
        tensors: what each tensor that a call made is called now, for the calls of the graph itself.
    """

    graph_def: Any
    tensors: Mapping[str, str]

    def tensor(self, name: str) -> str:
        """Return the full name, in the new graph, of a tensor of the old one."""
        return self.tensors.get(name, name)


def inline_calls(graph_def: Any, where: str, only: Iterable[str] | None = None) -> Inlined:
    """Put the body of each called function in place of the call, to any depth.

    Control edges inside functions only order side effects; they are dropped with the calls'.

    Args:
        graph_def: any GraphDef, with its library.
        where: its file, for messages.
        only: names of the calls to look into, the others being left out with all that they make;
            None for all.

    Raises:
        InputError: a function is missing or calls itself, or the graph would be too large.
    """
    inliner = _Inliner(graph_def, where)
    chosen = None if only is None else set(only)
    calls = []
    for node in graph_def.node:
        if inliner.function_of(node) is None:
            inliner.add(node.name, _copy(node), ())
        elif chosen is None or node.name in chosen:
            calls.append(node)
    for node in calls:
        inliner.expand(node.name, node, tuple(node.input), ())
    return inliner.finish(calls)


def _copy(node: Any) -> Any:
    copied = schema.NodeDef()
    copied.ParseFromString(node.SerializeToString())
    return copied


class _Inliner:
    """Collects nodes under names that cannot clash (`call NUL node`), and renames them at last."""

    def __init__(self, graph_def: Any, where: str) -> None:
        self._functions = {f.signature.name: f for f in graph_def.library.function}
        self._signatures = {name: f.signature for name, f in self._functions.items()}
        self._versions, self._library = graph_def.versions, graph_def.library
        self._where = where
        self._nodes: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}
        self._widths: dict[str, int] = {}

    def function_of(self, node: Any) -> str | None:
        """Return the function that a node calls, if that is all it does."""
        if node.op in _CALLS:
            return str(node.attr["f"].func.name)
        return node.op if node.op in self._functions else None  # the way of TensorFlow 1's Defun

    def add(self, key: str, node: Any, callers: tuple[str, ...]) -> None:
        """Keep a node that calls nothing."""
        self._nodes[key] = node
        if len(self._nodes) > _MOST_NODES:
            raise InputError(
                f"{self._where}: its functions, written out, have more than {_MOST_NODES:,} nodes "
                f"(the last one in {callers[-1] if callers else 'the graph'!r})."
            )

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

        def resolve(source: str) -> str:
            return self._body_tensor(source, arguments, body, key, name)

        for node in function.node_def:
            inside = f"{key}{_STEP}{node.name}"
            sources = tuple(resolve(i) for i in node.input if not i.startswith("^"))
            if self.function_of(node) is not None:
                self.expand(inside, node, sources, (*callers, name))
                continue
            copied = _copy(node)
            del copied.input[:]
            copied.input.extend(sources)
            self.add(inside, copied, (*callers, name))
        results = [function.ret[out.name] for out in function.signature.output_arg]
        for index, source in enumerate(results):
            self._aliases[f"{key}:{index}"] = resolve(source)
        self._widths[key] = len(results)

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

    def _body_tensor(
        self,
        source: str,
        arguments: Mapping[str, str],
        body: Mapping[str, Any],
        key: str,
        name: str,
    ) -> str:
        """Turn `argument` or `node:output:1`, as functions write tensors, into `node:3`."""
        where = f"{self._where}: the function {name!r}"
        maker, number = body_tensor(source, arguments, body, self._signatures, where)
        if maker in arguments and maker not in body:
            if number:
                raise InputError(f"{where} takes a list of tensors, which cannot be written out.")
            return full_name(arguments[maker])
        if number is None:
            raise InputError(
                f"{self._where} uses {source!r} of op {body[maker].op!r}, which is unknown here."
            )
        return f"{key}{_STEP}{maker}:{number}"

    def finish(self, calls: list[Any]) -> Inlined:
        """Rename the nodes, and let every input name what makes it now."""
        names = self._final_names()

        def final(source: str) -> str:
            if source.startswith("^"):
                return f"^{names[source[1:]]}"
            tensor = self._followed(full_name(source))
            producer, _, index = tensor.rpartition(":")
            new = names.get(producer, producer)
            return new if index == "0" else f"{new}:{index}"

        gone = {call.name for call in calls}
        result = schema.GraphDef(versions=_same(self._versions, schema.GraphDef().versions))
        for key, node in self._nodes.items():
            sources = [i for i in node.input if not (i.startswith("^") and i[1:] not in names)]
            added = result.node.add()
            added.CopyFrom(node)
            added.name = names[key]
            del added.input[:]
            added.input.extend(final(source) for source in sources)
        result.library.ParseFromString(self._library.SerializeToString())
        return Inlined(
            result,
            {
                f"{call}:{index}": full_name(final(f"{call}:{index}"))
                for call in gone
                for index in range(self._widths[call])
            },
        )

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
    for start in range(len(steps) - 1, -1, -1):
        yield "/".join(steps[start:])
    number = 1
    while True:
        yield f"{steps[-1]}_{number}"
        number += 1


def _same(message: Any, empty: Any) -> Any:
    """Copy a message into one of the private schema's class."""
    empty.ParseFromString(message.SerializeToString())
    return empty
