"""A graph run on arrays, for those whose graph takes other things than images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.session import EngineError, naming, run, session_on
from retrain_tools.errors import InputError
from retrain_tools.graphdef.feeds import check_feeds, unfed
from retrain_tools.graphdef.navigate import (
    check_tensor,
    copy_nodes,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.quiet_tensorflow import tf


def run_on_arrays(
    graph_def: Any,
    tensors: Sequence[str],
    feeds: Mapping[str, Any],
    where: str,
    allow_unsafe_graph: bool = False,
) -> dict[str, npt.NDArray[Any]]:
    """Run a graph once and return what it computes, in the types that it has.

    Args:
        graph_def: a graph without variables.
        tensors: what to fetch, by the names of tensors or nodes.
        feeds: what to feed, by the names of tensors or nodes; it is turned into their types.
        where: the graph's file, for error messages.
        allow_unsafe_graph: run it whatever it does beside computing.

    Raises:
        UnsafeGraphError: it does more than compute, and that is not allowed.
        InputError: there is no such tensor; one does not take what is fed to it, or has to be fed
            and is not; or TensorFlow refuses the graph.
    """
    nodes = nodes_by_name(graph_def)
    names = [check_tensor(name, nodes, where) for name in tensors]
    values = check_feeds(graph_def, feeds, where)
    if missing := unfed(nodes, names, set(map(node_name, values))):
        raise InputError(
            f"{', '.join(map(repr, names))} of {where} needs {' and '.join(map(repr, missing))} to "
            "be fed as well."
        )
    wanted = upstream(nodes, [*names, *values])
    part = copy_nodes(graph_def, lambda node: node.name in wanted)
    graph = tf.Graph()
    with graph.as_default(), naming(where):
        found = import_light(part, {}, [*values, *names], allow_unsafe_graph=allow_unsafe_graph)
    into, fetched = found[: len(values)], found[len(values) :]
    feeding = dict(zip(into, values.values(), strict=True))
    with session_on(graph) as session:
        try:
            results = run(session, fetched, feeding)
        except EngineError as error:
            raise InputError(f"{where} fails on what it was fed: {error}") from error
    return {name: np.asarray(one) for name, one in zip(tensors, results, strict=True)}
