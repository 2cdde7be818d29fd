"""Takes nodes out of a graph that only pass on what they take.

1. A node is taken out if its op is one of `op`, it takes at least one tensor and no more than
   `max_inputs`, and it is not to be kept.
2. Whatever took its first output takes its first input instead. A node of which other outputs are
   taken stays, and so does one of which the first input is of another type than the first output.
3. Whatever waited for it (a control input) waits for what it took and waited for; whatever took its
   output waits for what it waited for. So nothing runs earlier than before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import copy_nodes, full_name, node_name, nodes_by_name
from retrain_tools.graphdef.tensors import consumers_by_tensor, list_tensors
from retrain_tools.graphdef.toposort import execution_order
from retrain_tools.graphdef.weights import Weights, op_of


def remove_nodes(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
    *,
    op: Sequence[str],
    max_inputs: int = 1,
) -> tuple[Any, Weights]:
    """Take out nodes of some ops, such as Identity, so that their input goes past them.

    Args:
        light: the graph.
        weights: its weights, which stay as they are.
        keep: the nodes whose values must stay.
        op: the ops.
        max_inputs: how many tensors a node may take, of which the first goes past it.

    Raises:
        InputError: `max_inputs` is not positive.
    """
    if max_inputs < 1:
        raise InputError(f"max_inputs={max_inputs}: a node without inputs has none to go past it.")
    dtypes = {tensor.name: tensor.dtype for tensor in list_tensors(light)}
    later = {node_name(t) for t in consumers_by_tensor(light) if not full_name(t).endswith(":0")}

    def goes(node: Any) -> bool:
        if op_of(node, weights) not in op or node.name in keep or node.name in later:
            return False
        data = [name for name in node.input if not name.startswith("^")]
        if not 1 <= len(data) <= max_inputs:
            return False
        return dtypes.get(full_name(data[0])) == dtypes.get(f"{node.name}:0")

    return bypassed(light, {node.name for node in light.node if goes(node)}), weights


def bypassed(light: Any, gone: Collection[str]) -> Any:
    """Return a graph without some nodes, whose first input goes past them; see the module."""
    nodes = nodes_by_name(light)
    past: dict[str, str] = {}  # for each node that goes, what stands for its output
    waits: dict[str, list[str]] = {}  # and what has to run before, as control inputs

    def control(source: str) -> list[str]:
        """Return what is waited for instead of a control input."""
        name = node_name(source)
        return [f"^{node_name(past[name])}", *waits[name]] if name in past else [source]

    def inputs(node: Any) -> tuple[list[str], list[str]]:
        """Return a node's data and control inputs without the nodes that go."""
        data = [source for source in node.input if not source.startswith("^")]
        inherited = [wait for source in data for wait in waits.get(node_name(source), ())]
        own = [w for s in node.input if s.startswith("^") for w in control(s)]
        return [past.get(node_name(source), source) for source in data], inherited + own

    for name in execution_order(light):
        if name in gone:
            (past[name], *others), waits[name] = inputs(nodes[name])
            waits[name] += [f"^{node_name(other)}" for other in others]
    result = copy_nodes(light, lambda node: node.name not in gone)
    for node in result.node:
        if any(node_name(source) in gone for source in node.input):
            data, waited = inputs(node)
            taken = set(map(node_name, data))
            left = [wait for wait in dict.fromkeys(waited) if node_name(wait) not in taken]
            node.input[:] = data + left
    return result
