"""The way back of a training graph: from the loss to the gradients of its variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from retrain_tools.graphdef.edges import Edges
from retrain_tools.graphdef.navigate import constant_node
from retrain_tools.graphdef.training_ops import SHAPE_TAKERS, UPDATES, WITH_GRADIENT


def add_gradients(graph: Edges, parts: dict[str, str]) -> None:
    """Add what lies on the way back after ops that are only found there, and after its start."""
    known = [name for name, part in parts.items() if part == "gradients"]
    _add_after(graph, parts, [*known, *_takers_of_loss_gradients(graph)])
    _add_after(graph, parts, [n for n in fills_of_ones(graph) if _is_start(graph, n, parts)])


def _takers_of_loss_gradients(graph: Edges) -> list[str]:
    """Return what takes the second result of an op that gives a loss and its gradient at once."""
    ops = [op for op in graph.by_op if WITH_GRADIENT.fullmatch(op)]
    both = {f"{node.name}:1" for op in ops for node in graph.by_op[op]}
    return [n.name for n in graph.nodes.values() if both and not both.isdisjoint(n.input)]


def _members(graph: Edges, name: str) -> list[str]:
    """Return the tensors of a `tf.tuple`, each of which waits for a node that waits for all."""
    waits = set(graph.waits[name])
    return [
        follower
        for follower in graph.released[name]
        if graph.nodes[follower].op == "Identity" and waits.intersection(graph.before[follower])
    ]


def siblings(graph: Edges, name: str) -> list[str]:
    """Return the tensors of the same `tf.tuple` that something takes."""
    groups = [group for group in graph.waits[name] if graph.nodes[group].op == "NoOp"]
    tuples = [_members(graph, group) for group in groups]
    return [
        other for members in tuples if name in members for other in members if graph.after[other]
    ]


def _add_after(graph: Edges, parts: dict[str, str], names: Collection[str]) -> None:
    """Follow the way back from ops that are only found on it."""
    waiting = list(names)
    done: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        parts.setdefault(name, "gradients")
        if not UPDATES.fullmatch(graph.nodes[name].op):  # what it gives on is the variable
            waiting += graph.after[name]
        waiting += [n for n in graph.released[name] if graph.nodes[n].op == "NoOp"]
        if graph.nodes[name].op == "NoOp":
            waiting += _members(graph, name)


def fills_of_ones(graph: Edges) -> list[str]:
    """Return the nodes that make ones, as `tf.gradients` starts with one for each loss."""
    found = []
    for node in graph.by_op.get("Fill", ()):
        given = graph.before[node.name]
        value = constant_node(graph.nodes, given[-1]) if given else None
        if value is not None and list(value.attr["value"].tensor.float_val) == [1.0]:
            found.append(node.name)
    return found


def _is_start(graph: Edges, name: str, parts: Mapping[str, str]) -> bool:
    """Tell whether ones lead to gradients only, and not, as those in a loss, to its value too."""
    reaches_gradients = False
    for found in graph.downstream([name], stop=parts):
        if parts.get(found, "gradients") != "gradients":
            return False
        reaches_gradients |= found in parts
        is_end = not graph.after[found] and graph.nodes[found].op not in SHAPE_TAKERS
        if found not in parts and is_end and not siblings(graph, found):
            return False
    return reaches_gradients
