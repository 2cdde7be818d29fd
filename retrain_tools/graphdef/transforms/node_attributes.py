"""Changes the attributes of nodes, in the graph and in the functions of its library.

`remove_attribute`:

1. The attribute goes from all nodes that have it, or from those of the op `op_name`.
2. One that such an op cannot do without is an error.

`rename_attribute`:

1. The attribute gets its new name in all nodes that have it, or in those of the op `op_name`. What
   the new name stood for before goes.

`add_default_attributes`:

1. An attribute that a node of a known op leaves out, and that has a default, is written into it:
   for readers that know no defaults.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.ops import defaults, registry
from retrain_tools.graphdef.weights import OF_STAND_INS, Weights, all_nodes_with_ops

_ANY = "*"


def remove_attribute(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    attribute_name: str,
    op_name: str = _ANY,
) -> tuple[Any, Weights]:
    """Remove an attribute from the nodes of one op, or of all.

    Args:
        light: the graph.
        weights: its weights, which stay as they are.
        keep: the nodes whose values must stay.
        attribute_name: the attribute, as `_class`.
        op_name: the op; `*` for all.

    Raises:
        InputError: an op needs the attribute.
    """
    result = copy_nodes(light, lambda _: True)
    for node, op in _having(result, weights, attribute_name, op_name):
        definition = registry().get(op)
        needed = () if definition is None else {a.name for a in definition.attr}
        if attribute_name in needed and attribute_name not in defaults(definition):
            raise InputError(
                f"{op} cannot do without its attribute {attribute_name!r}, which the node "
                f"{node.name!r} has. Name the op to take it from with op_name."
            )
        del node.attr[attribute_name]
    return result, weights


def rename_attribute(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    old_attribute_name: str,
    new_attribute_name: str,
    op_name: str = _ANY,
) -> tuple[Any, Weights]:
    """Give an attribute of the nodes of one op, or of all, another name.

    Args:
        light: the graph.
        weights: its weights, which stay as they are.
        keep: the nodes whose values must stay.
        old_attribute_name: its name.
        new_attribute_name: its new name.
        op_name: the op; `*` for all.
    """
    result = copy_nodes(light, lambda _: True)
    if old_attribute_name != new_attribute_name:
        for node, _ in _having(result, weights, old_attribute_name, op_name):
            node.attr[new_attribute_name].CopyFrom(node.attr[old_attribute_name])
            del node.attr[old_attribute_name]
    return result, weights


def add_default_attributes(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
) -> tuple[Any, Weights]:
    """Write out the attributes that nodes leave out because they have a default.

    The weights stay as they are.
    """
    result = copy_nodes(light, lambda _: True)
    for node, op in all_nodes_with_ops(result, weights):
        for key, default in defaults(registry().get(op)).items():
            if key not in node.attr:
                node.attr[key].CopyFrom(default)
    return result, weights


def _having(light: Any, weights: Weights, attribute: str, wanted: str) -> list[tuple[Any, str]]:
    """Return the nodes of an op that have an attribute, and their ops.

    The type and shape of a stand-in are not attributes of its constant's.
    """
    return [
        (node, op)
        for node, op in all_nodes_with_ops(light, weights)
        if attribute in node.attr
        and wanted in (_ANY, op)
        and not (op != node.op and attribute in OF_STAND_INS)
    ]
