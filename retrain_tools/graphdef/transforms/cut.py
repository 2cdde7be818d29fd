"""Takes the part of a graph between two sets of tensors as a graph of its own.

1. What the outputs are computed from is followed back to the inputs, tensor by tensor, and along
   control inputs. All that is passed stays; nothing else does.
2. An input becomes a placeholder of its type, and of its shape as far as that is known. That of a
   node's first output has the node's name, so `NODE:0` is fed as before; that of another output,
   `NODE:1`, is called `NODE_1`. An input that is a placeholder stays as it is.
3. A node of which an output is an input of the cut goes, and control inputs that name it, unless
   another of its outputs is used: then it stays, and the placeholder of its first output is called
   `NODE_0`.
4. Each input must be used, each output must depend on one, and nothing else may have to be fed.
5. Functions that no node calls any more go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.called_functions import remove_unused_functions
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.navigate import (
    check_made,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    unique_name,
)
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.weights import Weights

_FED = ("Placeholder", "PlaceholderV2")  # what has no value of its own


def cut(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - `outputs` says it
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> tuple[Any, Weights]:
    """Take the part between two sets of tensors as a graph of its own.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: not looked at; `outputs` says what stays.
        inputs: the tensors that will be fed; none to take all that the outputs are computed from.
        outputs: the tensors that will be fetched, under their names.

    Returns:
        A light graph and its weights, which compute the same outputs from the same inputs.

    Raises:
        InputError: there is no such tensor, no output is named or one is an input itself, an input
            is not used, an output does not depend on any input, the type of an input is not known,
            or a placeholder that is none of the inputs is needed too.

    Example:
        >>> from retrain_tools.graphdef.build import new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> chain = [new_node("x", "Placeholder", dtype=1)]
        >>> chain += [new_node(b, "Relu", [a], T=1) for a, b in ("xy", "yz")]
        >>> light, _ = cut(GraphDef(node=chain), {}, inputs=["y:0"], outputs=["z:0"])
        >>> [(node.name, node.op) for node in light.node]
        [('y', 'Placeholder'), ('z', 'Relu')]
    """
    nodes = nodes_by_name(light)
    starts = [check_made(name, nodes, "the graph") for name in inputs]
    ends = [check_made(name, nodes, "the graph") for name in outputs]
    if not ends:
        raise InputError(f"{argument('outputs')} names no tensor: say which values are wanted.")
    for end in ends:
        if end in starts:
            raise InputError(
                f"{end!r} is an input and an output of the cut: there is nothing between. Choose "
                "an output further on."
            )
    wanted, used = _between(nodes, ends, starts)
    _check_ends(nodes, starts, ends, used)
    _check_fed(nodes, wanted, starts, weights)
    fed = {name for name in starts if nodes[node_name(name)].op not in PLACEHOLDERS}
    fed |= {name for name in starts if node_name(name) in weights}
    names = _names(fed, wanted, nodes)
    result = _with_placeholders(light, wanted, names)
    kept = {name for name in wanted if f"{name}:0" not in fed}
    left = {name: array for name, array in weights.items() if name in kept}
    return remove_unused_functions(result), left


def _between(
    nodes: Mapping[str, Any], ends: Sequence[str], starts: Collection[str]
) -> tuple[set[str], set[str]]:
    """Return the nodes that compute `ends` from `starts`, and the tensors that they take."""
    wanted: set[str] = set()
    used: set[str] = set()
    waiting = list(ends)
    cut_nodes = {node_name(name) for name in starts}
    while waiting:
        name = waiting.pop()
        if name.startswith("^"):
            if node_name(name) in cut_nodes:
                continue  # that it has run is not to be waited for: it is fed
        elif full_name(name) in starts:
            used.add(full_name(name))
            continue
        node = nodes[node_name(name)]
        if node.name not in wanted:
            wanted.add(node.name)
            waiting.extend(node.input)
    # A placeholder that is an input stays as it is.
    wanted |= {node_name(name) for name in used if nodes[node_name(name)].op in PLACEHOLDERS}
    return wanted, used


def _check_ends(
    nodes: Mapping[str, Any], starts: Sequence[str], ends: Sequence[str], used: Collection[str]
) -> None:
    for start in starts:
        if start not in used:
            raise InputError(
                f"{start!r} is not used to compute {', '.join(ends)}: leave it out of "
                f"{argument('inputs')}, or choose outputs further on."
            )
    for end in ends:
        if starts and not _between(nodes, [end], starts)[1]:
            raise InputError(
                f"{end!r} is not computed from {', '.join(starts)}: leave it out of "
                f"{argument('outputs')}, or choose inputs further back."
            )


def _check_fed(
    nodes: Mapping[str, Any], wanted: Collection[str], starts: Sequence[str], weights: Weights
) -> None:
    given = {node_name(name) for name in starts}
    for name in sorted(wanted):
        if starts and nodes[name].op in _FED and name not in given and name not in weights:
            raise InputError(
                f"The outputs depend on the placeholder {name!r}, too: name it, or a tensor behind "
                f"it, in {argument('inputs')}."
            )


def _names(
    fed: Collection[str], wanted: Collection[str], nodes: Mapping[str, Any]
) -> dict[str, str]:
    """Return for each tensor that gets a placeholder the name of that."""
    names: dict[str, str] = {}
    for tensor in sorted(fed):
        node, _, output = tensor.partition(":")
        is_free = output == "0" and (node not in wanted or nodes[node].op in PLACEHOLDERS)
        name = node if is_free else f"{node}_{output}"
        taken = {*wanted, *names.values(), *map(node_name, fed)}
        names[tensor] = name if is_free else unique_name(name, taken)
    return names


def _with_placeholders(light: Any, wanted: Collection[str], names: Mapping[str, str]) -> Any:
    """Return the wanted nodes, with a placeholder for each of the tensors in `names`."""
    tensors = {tensor.name: tensor for tensor in list_tensors(light)} if names else {}
    result = copy_nodes(light, lambda _: False)
    made = {node_name(tensor) for tensor in names}
    placed: set[str] = set()
    for node in light.node:
        for tensor, name in names.items():
            if node_name(tensor) == node.name and tensor not in placed:
                placed.add(tensor)
                result.node.append(_placeholder(name, tensors[tensor]))
        if node.name in wanted and node.name not in names.values():
            result.node.add().CopyFrom(node)
    for node in result.node:
        inputs = [names.get(full_name(n), n) if n[:1] != "^" else n for n in node.input]
        gone = {f"^{name}" for name in made if name not in wanted}
        node.input[:] = [name for name in inputs if name not in gone]
    return result


def _placeholder(name: str, tensor: Any) -> Any:
    dtype = dtype_number(tensor.dtype.removesuffix("_ref"))
    if dtype is None:
        raise InputError(
            f"The type of {tensor.name!r} is not known, as its op {tensor.op} is none of "
            f"TensorFlow's; choose {argument('inputs')} behind it."
        )
    return new_node(name, "Placeholder", dtype=dtype, shape=tensor.shape)
