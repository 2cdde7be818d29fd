"""Which nodes of a graph only serve its training: saving, summaries, queues, gradients, the loss.

They are told by what they do, not by the name scopes that they lie in.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping
from typing import Any

from retrain_tools.graphdef.edges import Edges
from retrain_tools.graphdef.navigate import attribute, is_variable_read, nodes_by_op, reached
from retrain_tools.graphdef.op_sets import LAYERS, VARIABLES
from retrain_tools.graphdef.training_gradients import add_gradients, fills_of_ones, siblings
from retrain_tools.graphdef.training_ops import (
    ASSIGNS,
    CALLS,
    CHANGES,
    MEANINGS,
    PART_OF_OP,
    SAVING,
    SHAPE_TAKERS,
    UPDATES,
    WITH_GRADIENT,
)
from retrain_tools.graphdef.view import GraphView, once_for_a_view, view_of

_GROUPS = ("NoOp", "ControlTrigger")  # they only wait for others
_EXITS = ("Exit", "RefExit")  # a loop has one for each of its values, needed or not

Parts = dict[str, str]


@once_for_a_view
def training_parts(graph_def: Any) -> Mapping[str, str]:
    """Return the part that each node of a training graph belongs to, by the node's name.

    Nodes of the network itself, and all nodes that nothing speaks of, are not in the result. The
    parts are those of `training_ops.MEANINGS`:

    - `loss`: the loss and the figures that compare results with labels, and what only they use;
    - `gradients`: the way back from the loss, optimisers, and all else that changes variables;
    - `queues`: queues, readers and datasets, with all that only fills them;
    - `summaries`: what is written for TensorBoard, with all that is only computed for it;
    - `saving`: writing checkpoints and reading them;
    - `initialising`: first values of variables and tables;
    - `checks`: assertions, with all that only they look at.

    1. Ops that have one purpose say so by themselves (`SaveV2`, `ScalarSummary`, `ApplyAdam`,
       `ReluGrad`, …).
    2. What is computed from a gradient is one; what is computed from a loss belongs to the loss.
    3. An assignment saves, initialises or updates, by where its value comes from.
    4. A node whose values only such nodes use belongs to them, unless it is a value that the
       network computes from its data: this is a result, whoever looks at it.

    Args:
        graph_def: the graph or a view of it; it may have cycles.

    Example:
        >>> training_parts(graph_def).get("save/RestoreV2")
        'saving'
    """
    view = view_of(graph_def)
    library = _saving_functions(view)
    parts: Parts = {}
    for op, nodes in nodes_by_op(view).items():
        for node in nodes if op in CALLS or PART_OF_OP.fullmatch(op) else ():
            if part := _of_op(node, library):
                parts[node.name] = part
    if not parts and not any(op in nodes_by_op(view) for op in (*ASSIGNS, "Equal")):
        return parts  # as of nearly every frozen graph, and there are large ones
    graph = Edges(view)
    if any(UPDATES.fullmatch(op) or CHANGES.fullmatch(op) for op in graph.by_op):
        add_gradients(graph, parts)
    else:  # gradients that nothing is trained by are results, as a saliency map
        parts = {name: part for name, part in parts.items() if part != "gradients"}
    _add_assignments(graph, parts)
    _add_followers(graph, parts)
    _add_groups(graph, parts)
    barriers = _add_barriers(graph, parts)
    _add_what_only_serves(graph, parts, barriers)
    _add_groups(graph, parts)
    return parts


def part_counts(graph_def: Any) -> dict[str, int]:
    """Return how many nodes of a graph there are in each of its `training_parts`."""
    counts = collections.Counter(training_parts(graph_def).values())
    return {part: counts[part] for part in MEANINGS if part in counts}


def _saving_functions(graph: GraphView) -> set[str]:
    """Return the names of the library's functions that write or read checkpoints."""
    return {
        function.signature.name
        for function in graph.library.function
        if any(node.op in SAVING for node in function.node_def)
    }


def _of_op(node: Any, functions: Collection[str]) -> str | None:
    if node.op in CALLS and functions:
        return "saving" if attribute(node, "f").func.name in functions else None
    found = PART_OF_OP.fullmatch(node.op)
    return None if found is None else found.lastgroup


def _add_assignments(graph: Edges, parts: Parts) -> None:
    restored = graph.downstream(
        n.name for op in SAVING if op.startswith("Restore") for n in graph.by_op.get(op, ())
    )
    for node in graph.nodes.values():
        if graph.after[node.name]:  # its result is a value of the network, as in a stateful layer
            continue
        if CHANGES.fullmatch(node.op):
            parts[node.name] = "gradients"
        elif node.op in ASSIGNS and len(graph.before[node.name]) > 1:
            target, value = graph.before[node.name][:2]
            if value in restored:
                parts[node.name] = "saving"
            elif value in graph.results or target in graph.upstream([value]):
                parts[node.name] = "gradients"
            else:
                parts[node.name] = "initialising"


def _add_followers(graph: Edges, parts: Parts) -> None:
    """Add what is computed from losses, and from whether variables have values."""
    losses = [n for n, part in parts.items() if part == "loss"]
    for node in graph.by_op.get("Equal", ()):  # of the best class with the right one
        looked_at = list(graph.before[node.name])
        while looked_at:
            name = looked_at.pop()
            if graph.nodes[name].op in ("Cast", "Identity"):
                looked_at += graph.before[name]
            elif graph.nodes[name].op == "ArgMax" and name in graph.results:
                losses.append(node.name)
    asked = [n for n, part in parts.items() if part == "initialising" and graph.after[n]]
    for part, starts in (("loss", losses), ("initialising", asked)):
        others = {n for n, found in parts.items() if found != part}
        others |= {n for n, node in graph.nodes.items() if node.op in SHAPE_TAKERS}
        for name in graph.downstream(starts, stop=others) - others:
            if part == "loss" or name not in graph.from_data:
                parts.setdefault(name, part)


def _add_groups(graph: Edges, parts: Parts) -> None:
    """Add the nodes without data that wait for nodes of a part only, or let only such wait."""
    groups = {name for op in _GROUPS for name in _names(graph, op)}
    empty = {name for name in groups if not graph.waits[name]}
    for ends, beyond, waiting in (
        (graph.waits, graph.released, list(groups - empty)),
        (graph.released, graph.waits, list(empty)),
    ):
        while waiting:
            name = waiting.pop()
            found = [parts.get(end) for end in ends[name] if end not in empty]
            if name not in parts and found and None not in found:
                parts[name] = str(collections.Counter(found).most_common(1)[0][0])
                waiting += [n for n in beyond[name] if n in groups]


def _add_barriers(graph: Edges, parts: Parts) -> set[str]:
    """Add, and return, nodes at the end that only pass a value on when something has been done."""
    found = set()
    for node in graph.by_op.get("Identity", ()):
        waits_for = [parts[n] for n in graph.waits[node.name] if n in parts]
        if waits_for and not graph.after[node.name] and node.name not in parts:
            parts[node.name] = waits_for[0]
            found.add(node.name)
    for node in graph.by_op.get("Merge", ()):  # of an assertion that is made only in one case
        waits = [parts.get(n) for before in graph.before[node.name] for n in graph.waits[before]]
        if "checks" in waits and not graph.after[node.name]:
            parts.setdefault(node.name, "checks")
    return found


def _add_what_only_serves(graph: Edges, parts: Parts, barriers: Collection[str]) -> None:
    """Add the nodes from which data flow to nodes of parts only."""
    back = {n for n, part in parts.items() if part == "gradients"}
    compared = set(_compared_with_labels(graph))
    ends = [name for name in _ends(graph, parts, barriers) if name not in compared]
    loose = {name: others for name in ends if (others := siblings(graph, name))}
    network = graph.upstream((name for name in ends if name not in loose), stop=parts)
    for name, others in loose.items():
        if network.isdisjoint(others):  # a gradient that nobody asked for, beside those in use
            parts[name] = "gradients"
        else:
            network |= graph.upstream([name])
    network |= graph.upstream(
        (_unshaped(graph, name) for name in compared & graph.results), stop=parts
    )
    serving = {name for name in graph.nodes if name not in network and name not in parts}
    serving -= graph.upstream(_kept(graph, serving, back))
    _add_measured(graph, parts, serving, back)
    for part in MEANINGS:
        of_part = [name for name, found in parts.items() if found == part]
        for name in reached(of_part, lambda n: (b for b in graph.before[n] if b in serving), ()):
            is_kept = graph.nodes[name].op in VARIABLES and part in ("saving", "initialising")
            if name not in parts and not is_kept:
                parts[name] = part
    # What nothing takes of a part, as a loop's counter.
    waiting = [name for name in serving if name not in parts]
    while waiting:
        name = waiting.pop()
        found = {parts.get(source) for source in graph.before[name]}
        if name not in parts and len(found) == 1 and None not in found:
            parts[name] = str(found.pop())
            waiting += [user for user in graph.after[name] if user in serving]
    _add_unused(graph, parts)


def _compared_with_labels(graph: Edges) -> list[str]:
    """Return what goes into ops that make a loss of logits and labels; both, for all are alike."""
    ops = [op for op in graph.by_op if WITH_GRADIENT.fullmatch(op)]
    return [source for op in ops for name in _names(graph, op) for source in graph.before[name]]


def _unshaped(graph: Edges, name: str) -> str:
    """Return the node whose values a node only reshapes, as losses do before they compare."""
    while graph.nodes[name].op == "Reshape" and graph.before[name]:
        name = graph.before[name][0]
    return name


def _ends(graph: Edges, parts: Mapping[str, str], barriers: Collection[str]) -> list[str]:
    """Return the nodes in no part whose values nothing uses up, though something may look at them.

    What the network computes from its data is only looked at by the loss and by its gradients, and
    by summaries; but a scalar that is only written for TensorBoard is a figure, and no result.
    """

    def is_use(name: str, user: str) -> bool:
        if graph.nodes[user].op in SHAPE_TAKERS:
            return False
        if name not in graph.results or user not in parts:
            return True
        if parts[user] == "summaries":
            return bool(graph.nodes[user].op == "ScalarSummary")
        return parts[user] != "loss" and user not in barriers

    has_gradients = "gradients" in parts.values()
    unused = ("Const", *SHAPE_TAKERS, *_GROUPS, *VARIABLES, *(_EXITS if has_gradients else ()))
    return [
        name
        for name, node in graph.nodes.items()
        if name not in parts
        and node.op not in unused
        and not any(is_use(name, user) for user in graph.after[name])
        and not is_variable_read(graph.nodes, name)
        and not _is_pivot(graph, name)
    ]


def _is_pivot(graph: Edges, name: str) -> bool:
    """Tell whether a node only stands for one side of a conditional, for others to wait for."""
    if graph.nodes[name].op != "Identity" or len(graph.before[name]) != 1:
        return False
    switch = graph.before[name][0]
    return graph.nodes[switch].op == "Switch" and len(set(graph.before[switch])) == 1


def _kept(graph: Edges, serving: set[str], back: Collection[str]) -> set[str]:
    """Return what is a network all the same, though only its training uses what it makes."""
    updates = [name for name in back if UPDATES.fullmatch(graph.nodes[name].op)]
    trained = {variable for name in updates for variable in graph.before[name][:1]}
    starts = {n for n in trained if n in serving}
    starts |= {n for op in LAYERS for n in _names(graph, op) if n in serving & graph.from_data}
    ones = [name for name in fills_of_ones(graph) if name in serving]
    back = graph.downstream(ones).union(back)

    def onwards(name: str) -> list[str]:
        users = (user for user in graph.after[name] if user in serving and user not in back)
        return [user for user in users if graph.nodes[user].op not in SHAPE_TAKERS]

    kept = reached(starts, onwards, ())
    figures = [n for n in kept if not any(u in kept or u in back for u in graph.after[n])]
    if figures:
        return kept & graph.upstream(figures)
    # The way back may look at the loss itself. What else only it looks at hangs on something that
    # the network goes on with.
    return {
        name
        for name in kept
        if any(user not in back for user in graph.after[name])
        or any(b in kept and onwards(b) == [name] for b in graph.before[name])
    }


def _add_unused(graph: Edges, parts: Parts) -> None:
    """Add what nothing takes: shapes, and constants among a part's nodes."""
    unused = [name for name in graph.nodes if name not in parts and not graph.after[name]]
    if "gradients" in parts.values():  # the way back asks for shapes that it does not need then
        shapes = [name for name in unused if graph.nodes[name].op in SHAPE_TAKERS]
        parts.update(dict.fromkeys(shapes, "gradients"))
    _add_by_scope(graph, parts, {n for n in unused if n not in parts})


def _add_by_scope(graph: Edges, parts: Parts, unused: Collection[str]) -> None:
    """Add constants and groups that do nothing to the part of the scope they were left in."""
    idle = {name for name in unused if graph.nodes[name].op in ("Const", "NoOp")}
    inside: dict[str, set[str | None]] = {}
    for name in graph.nodes.keys() - idle:
        for scope in _scopes(name):
            inside.setdefault(scope, set()).add(parts.get(name))
    for name in idle:
        found = next((inside[scope] for scope in _scopes(name) if scope in inside), set())
        if found and None not in found:
            parts[name] = next(part for part in MEANINGS if part in found)


def _scopes(name: str) -> list[str]:
    """Return the scopes around a node, inner ones first."""
    found = []
    while "/" in name:
        name = name.rpartition("/")[0]
        found.append(name)
    return found


def _add_measured(graph: Edges, parts: Parts, serving: set[str], back: set[str]) -> None:
    """Add to the loss what leads to a figure that is written, and that the way back looks at."""
    inner = serving & graph.results
    for name in inner:
        if all(user not in serving and user not in back for user in graph.after[name]):
            chain = reached([name], lambda n: (b for b in graph.before[n] if b in inner), ())
            if any(user in back for step in chain for user in graph.after[step]):
                parts.update(dict.fromkeys(chain, "loss"))


def _names(graph: Edges, op: str) -> list[str]:
    return [node.name for node in graph.by_op.get(op, ())]
