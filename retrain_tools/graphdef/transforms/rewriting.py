"""Nodes of a light graph replaced by nodes of other ops, under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name, unique_name
from retrain_tools.graphdef.ops import registry


class Rewriting:
    """A copy of a light graph that is being changed.

    Attributes:
        light: the copy.
        nodes: its nodes by name, those that were added included.
        freed: names of nodes that lost a consumer, for `freed.drop_freed`.
    """

    def __init__(self, light: Any) -> None:
        self.light = copy_nodes(light, lambda _: True)
        self.nodes = nodes_by_name(self.light)
        self.freed: set[str] = set()

    def add(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, under a name like `name`, and return its name."""
        name = unique_name(name, self.nodes)
        self.put(new_node(name, op, inputs, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """Add a small constant, under a name like `name`, and return its name."""
        name = unique_name(name, self.nodes)
        self.put(new_constant(name, value))
        return name

    def replace(self, node: Any, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Make a node one of another op, with other data inputs.

        Its name, device and control inputs stay, and those attributes that the new op has, too, or
        that are nobody's (`_…`). `attributes` are as `new_node` takes them.
        """
        known = {attribute.name for attribute in registry()[op].attr}
        made = new_node(node.name, op, inputs, **attributes)
        made.input.extend(name for name in node.input if name.startswith("^"))
        made.device = node.device
        for key, value in node.attr.items():
            if key not in made.attr and (key in known or key.startswith("_")):
                made.attr[key].CopyFrom(value)
        self.freed |= {name for name in node.input if name not in made.input}
        node.CopyFrom(made)

    def put(self, node: Any) -> None:
        """Add a node that is made already; its name is no other's."""
        self.light.node.append(node)
        self.nodes[node.name] = self.light.node[-1]


def data_inputs(node: Any) -> list[str]:
    """Return the inputs of a node without control inputs."""
    return [name for name in node.input if not name.startswith("^")]
