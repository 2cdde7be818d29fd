"""A graph as a tree of name scopes, each with what is in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from retrain_tools.graphdef.constants import constant_size


@dataclasses.dataclass(slots=True)
class Scope:
    """A name scope, or a node.

    Attributes:
        name: its own part of the name; empty for the whole graph.
        path: the whole name; of a node, its node name.
        op: the op of the node of this name; None where there is only a scope of it.
        nodes: how many nodes there are, its own included.
        parameters: the values of their weight constants.
        bytes: what their constants hold.
        parts: how many nodes belong to each part that only serves training.
        children: the scopes and nodes in it, in file order, by their own part of the name.
    """

    name: str
    path: str
    op: str | None = None
    nodes: int = 0
    parameters: int = 0
    bytes: int = 0
    parts: dict[str, int] = dataclasses.field(default_factory=dict)
    children: dict[str, Scope] = dataclasses.field(default_factory=dict)


def scope_tree(nodes: Iterable[Any], parts: Mapping[str, str] | None = None) -> Scope:
    """Return nodes as a scope without a name, which holds all of them.

    `parts` are those of the graph that only serve its training (`training_parts`).

    A node may have the name of a scope, as TensorFlow itself names them (`softmax` and
    `softmax/weights`); both are then one, and the node counts as within it.
    """
    root = Scope("", "")
    for node in nodes:
        parameters, size = constant_size(node)
        scope = root
        enclosing = [root]
        for part in node.name.split("/"):
            child = scope.children.get(part)
            if child is None:
                path = f"{scope.path}/{part}" if scope is not root else part
                child = scope.children[part] = Scope(part, path)
            enclosing.append(child)
            scope = child
        scope.op = node.op
        part = parts.get(node.name) if parts else None
        for scope in enclosing:
            scope.nodes += 1
            scope.parameters += parameters
            scope.bytes += size
            if part is not None:
                scope.parts[part] = scope.parts.get(part, 0) + 1
    return root
