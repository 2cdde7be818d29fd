"""Writes old ops as those of today, so that the graph can have today's version.

1. Every op that TensorFlow dropped for graphs of a later version, and that has a like one, becomes
   that one under the same name; see `modern_forms`. So do Concat, Add, Div, Inv, Gather,
   BatchMatMul and FusedBatchNorm V1 and V2, which are still there, and whose newer forms
   TensorFlow 2 writes. Values are the same; those of old batch norms differ by rounding.
2. A placeholder of a graph before version 22 that says the shape of a scalar says that its shape
   is unknown, which is what TensorFlow took it to mean.
3. The graph's version becomes that of the newest TensorFlow that is supported. (The oldest
   TensorFlow that may read it stays as it was said.)
4. If an op is left that this version has dropped, the graph is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.ops import deprecation
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.transforms.modern_forms import FORMS
from retrain_tools.graphdef.transforms.rewriting import Rewriting
from retrain_tools.graphdef.versions import NEWEST_VERSION
from retrain_tools.graphdef.weights import Weights

_SCALARS_SAID = 22  # version.h: "Placeholder now can specify and enforce scalar … shapes"


def modernize(light: Any, weights: Weights, keep: Collection[str] = ()) -> tuple[Any, Weights]:
    """Write deprecated ops as those of today, and raise the graph's version.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay.

    Returns:
        The light graph and its weights.

    Raises:
        InputError: a node, of the graph or of one of its functions, is of an op that today's
            TensorFlow does not load, and that has no like one.

    Example:
        >>> from retrain_tools.graphdef.build import new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> light, _ = modernize(GraphDef(node=[new_node("y", "Inv", ["x"], T=1)]), {})
        >>> light.node[0].op
        'Reciprocal'
    """
    graph = Rewriting(light)
    for node in list(graph.light.node):
        if node.op in FORMS:
            FORMS[node.op](graph, node)
        elif node.op == "Placeholder" and light.versions.producer < _SCALARS_SAID:
            _open_scalar(node, weights)
    _check(graph.light)
    graph.light.versions.producer = max(NEWEST_VERSION, light.versions.producer)
    return drop_freed(graph.light, weights, graph.freed, keep)


def _open_scalar(node: Any, weights: Weights) -> None:
    if node.name in weights or "shape" not in node.attr:
        return
    shape = node.attr["shape"].shape
    if not shape.dim:
        shape.unknown_rank = True


def _check(light: Any) -> None:
    places = [(node, "") for node in light.node]
    places += [
        (node, f" of the function {function.signature.name!r}")
        for function in light.library.function
        for node in function.node_def
    ]
    for node, where in places:
        dropped = deprecation(node.op)
        if dropped is not None:
            version, advice = dropped
            raise InputError(
                f"The node {node.name!r}{where} is a {node.op}, which TensorFlow does not load in "
                f"graphs since version {version} ({advice.rstrip('.')}), and there is no op that "
                "does the same for it here. If the outputs do not need it, strip_unused_nodes "
                "removes it."
            )
