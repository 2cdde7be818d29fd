"""Navigation in a GraphDef: names, nodes, constants, what a tensor is computed from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef import ops, schema
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.graphdef.view import once_for_a_view
from retrain_tools.text_tables import counted


def node_name(tensor: str) -> str:
    """Return the node of a tensor or input name: `^a/b`, `a/b:1` and `a/b` all give `a/b`."""
    if ":" not in tensor and not tensor.startswith("^"):  # most are plain, and there may be many
        return tensor
    return tensor.lstrip("^").split(":")[0]


def full_name(name: str) -> str:
    """Return the full tensor name of a node's data input: `a/b` becomes `a/b:0`."""
    return name if ":" in name else f"{name}:0"


def tensor_name(name: str) -> str:
    """Return the full tensor name of a name as people type it.

    `a/b` becomes `a/b:0`; the `import/` that older scripts put in front is taken off.
    """
    return full_name(name.strip().removeprefix("import/"))


@once_for_a_view
def nodes_by_name(graph_def: Any) -> dict[str, Any]:
    """Return the graph's nodes under their names; those of a view are not to be changed."""
    return {node.name: node for node in graph_def.node}


@once_for_a_view
def nodes_by_op(graph_def: Any) -> dict[str, list[Any]]:
    """Return the graph's nodes of each op, in file order; those of a view are not to be changed."""
    found: dict[str, list[Any]] = {}
    for node in graph_def.node:
        found.setdefault(node.op, []).append(node)
    return found


def attribute(node: Any, key: str) -> Any:
    """Return an attribute, or an empty one. Plain `node.attr[key]` would add it to the node."""
    return node.attr[key] if key in node.attr else schema.AttrValue()


def check_tensor(name: str, nodes: Collection[str], where: str) -> str:
    """Return the full tensor name of `name`, or raise what `where` could have been meant.

    Only its node has to be there: see `check_made`.
    """
    full = full_name(name.strip())
    if node_name(full) not in nodes:  # some graphs do hold nodes called import/…
        full = tensor_name(name)
    node, _, index = full.partition(":")
    if node not in nodes or not index.isdecimal():
        known = [f"{known}:0" for known in nodes]
        raise InputError(
            f"No tensor {full!r} in {where} ({len(nodes)} nodes).{did_you_mean(full, known)} "
            f"List them: list_tensors --graph={where}"
        )
    return full


def check_made(name: str, nodes: Mapping[str, Any], where: str) -> str:
    """Return the full tensor name of `name`, which its node must make, as `check_tensor` does.

    Of a node whose op is not known, any output may be there.
    """
    full = check_tensor(name, nodes, where)
    node, _, index = full.partition(":")
    definition = ops.registry().get(nodes[node].op)
    made = None if definition is None else ops.output_dtypes(nodes[node], ops.outputs(definition))
    if made is not None and int(index) >= len(made):
        has = f"{counted(len(made), 'output')}: {node}:0" if made else "no output"
        last = f" to {node}:{len(made) - 1}" if len(made) > 1 else ""
        raise InputError(
            f"No tensor {full!r} in {where}: the node {node!r} ({nodes[node].op}) has {has}{last}. "
            f"List tensors: list_tensors --graph={where}"
        )
    return full


def upstream(nodes: dict[str, Any], tensors: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """Return the names of all nodes that `tensors` are computed from, their own nodes included.

    Args:
        nodes: the graph's nodes by name.
        tensors: tensor or node names.
        stop: names of nodes whose own inputs are not followed (they are part of the result).
    """
    return reached(tensors, lambda name: nodes[name].input, stop)


def reached(
    tensors: Iterable[str], following: Callable[[str], Iterable[str]], stop: Collection[str]
) -> set[str]:
    """Return the names of all nodes that a walk from `tensors` comes to, their own included.

    `following` gives the names that come after a node; at the nodes `stop` the walk ends.
    """
    found: set[str] = set()
    waiting = [node_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name not in stop:
                waiting.extend(map(node_name, following(name)))
    return found


def is_variable_read(nodes: Mapping[str, Any], name: str) -> bool:
    """Tell whether the node of that name only gives the value of a variable."""
    node = nodes[name]
    if node.op not in ("Identity", "ReadVariableOp") or not node.input:
        return False
    source = nodes.get(node_name(node.input[0]))
    return source is not None and source.op in VARIABLES


def constant_node(nodes: Mapping[str, Any], name: str) -> Any | None:
    """Return the constant behind an input name, through Identity nodes; None if there is none."""
    node = _behind_identities(nodes, name)
    return node if node is not None and node.op == "Const" else None


def _behind_identities(nodes: Mapping[str, Any], name: str) -> Any | None:
    node = nodes.get(node_name(name))
    passed: set[str] = set()  # a damaged graph may have a cycle of them
    while node is not None and node.op == "Identity" and node.input and node.name not in passed:
        passed.add(node.name)
        node = nodes.get(node_name(node.input[0]))
    return node


def constant_value(
    nodes: Mapping[str, Any], name: str, weights: Mapping[str, Any] | None = None
) -> Any | None:
    """Return the array of the constant behind an input name, through Identity nodes; else None.

    Args:
        nodes: the graph's nodes by name.
        name: tensor or node name.
        weights: for a light graph, the constants that are held apart.
    """
    node = _behind_identities(nodes, name)
    if weights is not None and node is not None and node.name in weights:
        return weights[node.name]
    if node is None or node.op != "Const":
        return None
    return array(node.attr["value"].tensor)


def unique_name(base: str, taken: Collection[str]) -> str:
    """Return `base`, or `base_1`, `base_2`, … as TensorFlow's name scopes do.

    A name is taken when a node has it, or lies in a scope of that name.
    """

    def is_taken(name: str) -> bool:
        return any(node == name or node.startswith(f"{name}/") for node in taken)

    candidate, number = base, 0
    while is_taken(candidate):
        number += 1
        candidate = f"{base}_{number}"
    return candidate


def copy_nodes(graph_def: Any, wanted: Callable[[Any], bool]) -> Any:
    """Return a new GraphDef with the nodes for which `wanted` holds, same versions and library."""
    result = schema.GraphDef()
    result.versions.CopyFrom(graph_def.versions)
    result.library.CopyFrom(graph_def.library)
    result.node.extend(node for node in graph_def.node if wanted(node))
    return result
