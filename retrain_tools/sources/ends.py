"""The graph of a model between what is fed and what is fetched, given or found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import check_made, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.summary import Summary
from retrain_tools.sources.model import Model

_RETRAINED = "final_result:0"  # retrain.py's; what else is left of the network is not asked for


@dataclasses.dataclass(frozen=True)
class Ends:
    """A graph, and the full names of the tensors that it is run by.

    Attributes:
        graph_def: the frozen graph; of a model that cannot be frozen, the graph as it is stored.
        inputs: what is fed.
        outputs: what is fetched.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graph_ends(
    model: Model, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> Ends:
    """Return a model's graph with its inputs and outputs.

    Args:
        model: what `load` opened.
        inputs: what is fed, by tensors or nodes. None for the placeholders, and the encoded image,
            that the outputs are computed from.
        outputs: what is fetched. None for what the signature or retrain.py calls the result, else
            for what the summary lists as outputs.

    Raises:
        InputError: there is no graph, or no such tensor in it; or no output is found.

    Example:
        >>> import retrain_tools as rt
        >>> graph_ends(rt.load("graph.pb")).outputs
        ('softmax:0',)
    """
    if model.graph is None:
        raise InputError(f"{model.path} has no graph: it is a {model.description}.")
    where = str(model.path)
    summary = None if inputs and outputs else model.summary()
    nodes = nodes_by_name(model.graph)
    fetched = [check_made(name, nodes, where) for name in outputs or _outputs(model, summary)]
    if not fetched:
        raise InputError(f"{where} has no result that could be told; name some with --outputs.")
    fed = [check_made(name, nodes, where) for name in inputs or _inputs(nodes, summary, fetched)]
    return Ends(model.graph, tuple(dict.fromkeys(fed)), tuple(dict.fromkeys(fetched)))


def _outputs(model: Model, summary: Summary | None) -> list[str]:
    found = [guess.tensor.name for guess in summary.outputs] if summary else []
    if _RETRAINED in found:
        return [_RETRAINED]
    if model.signatures and model.can_freeze:
        return list(model.usual.outputs.values())
    return found


def _inputs(nodes: dict[str, Any], summary: Summary | None, fetched: Sequence[str]) -> list[str]:
    """Return what the summary says may be fed, without what is computed from other such things."""
    found = [guess.tensor.name for guess in summary.inputs] if summary else []
    needed = upstream(nodes, fetched)
    fed = [name for name in found if node_name(name) in needed]
    names = set(map(node_name, fed))
    return [name for name in fed if not (upstream(nodes, [name]) - {node_name(name)}) & names]
