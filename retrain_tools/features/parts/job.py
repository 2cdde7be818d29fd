"""What workers are told of a job: it can be pickled, and is the same for all of its shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from retrain_tools.engine.settings import RunSettings
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.spec import FrozenGraph, GraphSpec


@dataclasses.dataclass(frozen=True)
class PackedGraph:
    """A frozen graph as bytes.

    Attributes:
        data: the serialized GraphDef.
        spec: how it takes images.
        path: the file it was read from, for messages.
        allow_unsafe_graph: whether it is run whatever it does beside computing.
    """

    data: bytes
    spec: GraphSpec
    path: str
    allow_unsafe_graph: bool

    @classmethod
    def of(cls, frozen: FrozenGraph) -> PackedGraph:
        """Pack a graph."""
        data = frozen.graph_def.SerializeToString()
        return cls(data, frozen.spec, str(frozen.path), frozen.allow_unsafe_graph)

    def unpacked(self) -> FrozenGraph:
        """Return the graph."""
        graph_def = schema.GraphDef.FromString(self.data)
        allowed = self.allow_unsafe_graph
        return FrozenGraph(graph_def, self.spec, Path(self.path), allow_unsafe_graph=allowed)


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done with every shard.

    Attributes:
        output: the folder or URI of the parts.
        identity: the digest of the manifest.
        graph: the graph.
        tensors: full names, by the names of their columns.
        pooling: see `FetchOptions`.
        running: how the graph is run; with one thread.
        retry_failed: compute again what failed for a reason that may pass.
        overwrite: replace parts none of whose images is in the list.
    """

    output: str
    identity: str
    graph: PackedGraph
    tensors: Mapping[str, str]
    pooling: str | None
    running: RunSettings
    retry_failed: bool = False
    overwrite: bool = False
