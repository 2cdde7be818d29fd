"""What changed from one graph to another, node by node."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from retrain_tools.graphdef import ops, schema
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.tensors import shape_text
from retrain_tools.graphdef.view import GraphView

_VALUE = "value"


@dataclasses.dataclass(frozen=True)
class Rewired:
    """A node that takes from others than before."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reworked:
    """A node whose op or attributes are others than before.

    Attributes:
        name: node name.
        before, after: op, or the attributes that differ as text, by key; None for a missing one.
    """

    name: str
    before: dict[str, str | None]
    after: dict[str, str | None]


@dataclasses.dataclass(frozen=True)
class Revalued:
    """A constant that holds something else than before.

    Attributes:
        name: node name.
        before, after: its type and shape, as `float32 [3, 3]`.
        changed: how many values differ; None where type or shape do, or values are no numbers.
        count: how many values there are.
        largest, mean: the absolute difference; None as above.
        largest_relative: the largest absolute difference over the largest absolute value before;
            None as above, or where that is 0.
    """

    name: str
    before: str
    after: str
    changed: int | None = None
    count: int = 0
    largest: float | None = None
    mean: float | None = None
    largest_relative: float | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """What it takes to get from one graph to another. Nodes are in the order of their files.

    Attributes:
        added, removed: names of nodes that only the second or the first graph has.
        reworked: nodes with another op, or other attributes than a constant's value.
        rewired: nodes with other inputs.
        revalued: constants with other values.
        same: how many nodes are the same in both.
        versions: the producer version before and after, where it changed.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    reworked: tuple[Reworked, ...]
    rewired: tuple[Rewired, ...]
    revalued: tuple[Revalued, ...]
    same: int
    versions: tuple[int, int] | None

    @property
    def is_empty(self) -> bool:
        """Whether the graphs say the same, though their nodes may be in another order."""
        parts = (self.added, self.removed, self.reworked, self.rewired, self.revalued)
        return not any(parts) and self.versions is None


def compare_graphs(before: Any, after: Any) -> Difference:
    """Return what changed from the graph `before` to the graph `after`.

    Nodes are the same when they have the same name. `a` and `a:0` are the same input; so are
    control inputs in any order. An attribute that is left out is the same as its default.
    """
    before, after = (g.proto if isinstance(g, GraphView) else g for g in (before, after))
    if type(before) is not type(after):  # messages of two classes are never equal
        before, after = _as_own_class(before), _as_own_class(after)
    old = {node.name: node for node in before.node}
    new = {node.name: node for node in after.node}
    reworked: list[Reworked] = []
    rewired: list[Rewired] = []
    revalued: list[Revalued] = []
    same = 0
    for name, node in old.items():
        other = new.get(name)
        if other is None:
            continue
        if node == other:  # as most nodes of two graphs that are compared
            same += 1
            continue
        work, wires, values = _reworked(node, other), _rewired(node, other), _revalued(node, other)
        same += not (work or wires or values)
        reworked += [work] if work else []
        rewired += [wires] if wires else []
        revalued += [values] if values else []
    producers = before.versions.producer, after.versions.producer
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        reworked=tuple(reworked),
        rewired=tuple(rewired),
        revalued=tuple(revalued),
        same=same,
        versions=None if producers[0] == producers[1] else producers,
    )


def _as_own_class(graph_def: Any) -> Any:
    return schema.GraphDef.FromString(graph_def.SerializeToString())


def _inputs(node: Any) -> tuple[str, ...]:
    data = [full_name(name) for name in node.input if not name.startswith("^")]
    return (*data, *sorted({name for name in node.input if name.startswith("^")}))


def _rewired(before: Any, after: Any) -> Rewired | None:
    old, new = _inputs(before), _inputs(after)
    return None if old == new else Rewired(before.name, old, new)


def _reworked(before: Any, after: Any) -> Reworked | None:
    old: dict[str, str | None] = {}
    new: dict[str, str | None] = {}
    if before.op != after.op:
        old["op"], new["op"] = before.op, after.op
    if before.device != after.device:
        old["device"], new["device"] = before.device, after.device
    are_constants = before.op == after.op == "Const"
    for key in sorted({*before.attr, *after.attr}):
        if key == _VALUE and are_constants and key in before.attr and key in after.attr:
            continue
        values = [node.attr.get(key, None) for node in (before, after)]
        if values[0] != values[1] and not _is_default(after.op, key, values):
            old[key], new[key] = map(attribute_text, values)
    return Reworked(before.name, old, new) if old else None


def _is_default(op: str, key: str, values: list[Any | None]) -> bool:
    """Tell whether one graph only says what holds in the other without being said."""
    definition = ops.registry().get(op)
    if definition is None or None not in values:
        return False
    said = next(value for value in values if value is not None).SerializeToString()
    return any(
        attribute.name == key
        and attribute.HasField("default_value")
        and attribute.default_value.SerializeToString() == said
        for attribute in definition.attr
    )


def attribute_text(value: Any | None) -> str | None:
    """Return an attribute's value on one line; of a tensor, its type and shape."""
    if value is None:
        return None
    if value.WhichOneof("value") == "tensor":
        return _kind(value.tensor)
    return " ".join(str(value).split()).removeprefix("list ")


def _revalued(before: Any, after: Any) -> Revalued | None:
    if not before.op == after.op == "Const":
        return None
    if _VALUE not in before.attr or _VALUE not in after.attr:
        return None
    old, new = before.attr[_VALUE].tensor, after.attr[_VALUE].tensor
    if old == new:
        return None
    kinds = _kind(old), _kind(new)
    import numpy as np

    try:
        one, other = array(old), array(new)
    except ValueError:
        return Revalued(before.name, *kinds)
    if kinds[0] != kinds[1]:
        return Revalued(before.name, *kinds, count=other.size)
    differs = np.asarray(one != other)
    if one.dtype.kind in "fc":
        differs &= ~(np.isnan(one) & np.isnan(other))
    changed = int(np.count_nonzero(differs))
    if not changed:  # the same values, written in another way
        return None
    if one.dtype.kind not in "biufcV" or one.dtype.names:
        return Revalued(before.name, *kinds, changed=changed, count=one.size)
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    old_values = one.astype(wide)
    distance = np.abs(other.astype(wide) - old_values)
    largest, scale = float(distance.max()), float(np.abs(old_values).max())
    return Revalued(
        before.name,
        *kinds,
        changed=changed,
        count=one.size,
        largest=largest,
        mean=float(distance.mean()),
        largest_relative=largest / scale if scale > 0 and math.isfinite(scale) else None,
    )


def _kind(tensor: Any) -> str:
    return f"{dtype_name(tensor.dtype)} {shape_text(shape_in(tensor.tensor_shape))}"
