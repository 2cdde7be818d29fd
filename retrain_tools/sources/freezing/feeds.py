"""What has to be fed for a tensor of a training graph: placeholders, batches of queues."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.edges import Edges
from retrain_tools.graphdef.navigate import attribute, full_name, node_name
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.sources.contents import TensorInfo
from retrain_tools.sources.freezing.variables import comes_from_outside

_BATCHES = re.compile(r"IteratorGetNext(Sync)?|QueueDequeue(Many|UpTo)?(V2)?")


class Feeds:
    """The edges of a graph, asked for what comes in at their beginning."""

    def __init__(self, edges: Edges, tensors: Sequence[Tensor]) -> None:
        """Take a graph's edges and all of its tensors, in file order."""
        self.edges = edges
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self._places = {tensor.name: place for place, tensor in enumerate(tensors)}
        self._known: dict[str, frozenset[str]] = {}

    def place(self, tensor: str) -> int:
        """Return where a tensor stands in the file."""
        return self._places.get(tensor, 0)

    def inputs(self, tensors: Iterable[str]) -> list[str]:
        """Return the tensors that have to be fed for these, in file order.

        A batch of a queue or a data set is one; what has a default is as well.
        """
        edges, ends = self.edges, self._ends
        needed = edges.upstream([node_name(tensor) for tensor in tensors], stop=ends)
        found = {f"{n}:0" for n in needed if edges.nodes[n].op in PLACEHOLDERS}
        batches = {n for n in needed & ends if edges.nodes[n].op not in PLACEHOLDERS}
        inner = (source for n in needed - ends for source in inputs_of(edges.nodes[n]))
        found |= {source for source in inner if node_name(source) in batches}
        return sorted(found, key=self.place)

    @functools.cached_property
    def _ends(self) -> set[str]:
        return {name for name in self.edges.nodes if self._is_end(name)}

    def _is_end(self, name: str) -> bool:
        """Tell whether what comes before a node is not looked at, since it can be fed."""
        op = self.edges.nodes[name].op
        if op == "PlaceholderWithDefault":  # the default may be all of a network
            before = self.edges.upstream(self.edges.before[name])
            return any(comes_from_outside(self.edges.nodes[source]) for source in before)
        return op in PLACEHOLDERS or _BATCHES.fullmatch(op) is not None

    def is_queued(self, tensor: str) -> bool:
        """Tell whether a queue or a data set feeds a tensor."""
        return any(
            self.edges.nodes[node_name(source)].op not in PLACEHOLDERS
            for source in self.inputs([tensor])
        )

    def data(self, tensor: str) -> frozenset[str]:
        """Return the inputs that are data, and no switch or single number."""
        if tensor not in self._known:
            found = (source for source in self.inputs([tensor]) if not self._is_setting(source))
            self._known[tensor] = frozenset(found)
        return self._known[tensor]

    def _is_setting(self, tensor: str) -> bool:
        node = self.edges.nodes[node_name(tensor)]
        if node.op not in PLACEHOLDERS:
            return False
        default = self.edges.before[node.name]
        has_default = bool(default) and self.edges.nodes[default[0]].op == "Const"
        info = self.info(tensor)
        return has_default or info.dtype == "bool" or info.shape == ()

    def info(self, tensor: str) -> TensorInfo:
        """Return type and shape of an input."""
        node, index = self.edges.nodes[node_name(tensor)], int(tensor.rpartition(":")[2])
        if node.op in PLACEHOLDERS:
            shape = shape_in(node.attr["shape"].shape) if "shape" in node.attr else None
            return TensorInfo(tensor, dtype_name(attribute(node, "dtype").type), shape)
        known = self._tensors.get(tensor)
        shapes = attribute(node, "output_shapes").list.shape
        shape = shape_in(shapes[index]) if index < len(shapes) else None
        dtype = "?" if known is None else known.dtype
        return TensorInfo(tensor, dtype, shape or (None if known is None else known.shape))


def inputs_of(node: Any) -> list[str]:
    """Return the full names of the tensors that a node takes."""
    return [full_name(source) for source in node.input if source[:1] != "^"]
