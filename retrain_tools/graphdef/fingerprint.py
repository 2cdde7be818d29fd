"""Fingerprints of graphs: what a tensor's values depend on, as one SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import nodes_by_name, upstream


def fingerprint(graph_def: Any, tensors: Sequence[str], stop: Collection[str] = ()) -> str:
    """Return the SHA-256 of all nodes that `tensors` are computed from, by their names.

    So a text and a binary file of a graph agree, and other nodes of the file do not count. Nor do
    attributes that begin with an underscore: they are notes, and change no value. What lies before
    the nodes in `stop` does not count, either.
    """
    nodes = nodes_by_name(graph_def)
    digest = hashlib.sha256()
    for name in sorted(upstream(nodes, tensors, stop)):
        node = nodes[name]
        notes = [key for key in node.attr if key.startswith("_")]
        if notes:
            node = type(node).FromString(node.SerializeToString())
            for key in notes:
                del node.attr[key]
        digest.update(node.SerializeToString(deterministic=True))
    return digest.hexdigest()
