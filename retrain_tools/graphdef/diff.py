"""What changed from one graph to another, node by node."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from retrain_tools.graphdef import ops
from retrain_tools.graphdef.attributes import attribute_text, tensor_text
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.view import GraphView

_VALUE = "value"


@dataclasses.dataclass(frozen=True)
class InputsChanged:
    """A node with other inputs than before: data inputs in order, control inputs sorted."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class AttributesChanged:
    """A node with another op, device or other attributes than before.

    Attributes:
        name: node name.
        before, after: what differs, as text by key: attributes, `op`, `device`; None for a missing
            attribute.
    """

    name: str
    before: dict[str, str | None]
    after: dict[str, str | None]


@dataclasses.dataclass(frozen=True)
class ValuesChanged:
    """A constant with other values than before.

    Attributes:
        name: node name.
        before, after: its dtype and shape, as `float32 [3, 3]`.
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
        attributes_changed: nodes with another op, or other attributes than a constant's value.
        inputs_changed: nodes with other inputs.
        values_changed: constants with other values.
        same: how many nodes are the same in both.
        versions: the producer version before and after, where it changed.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    attributes_changed: tuple[AttributesChanged, ...]
    inputs_changed: tuple[InputsChanged, ...]
    values_changed: tuple[ValuesChanged, ...]
    same: int
    versions: tuple[int, int] | None

    @property
    def is_empty(self) -> bool:
        """Whether the graphs say the same, though their nodes may be in another order."""
        changed = self.attributes_changed or self.inputs_changed or self.values_changed
        return not (self.added or self.removed or changed) and self.versions is None


def compare_graphs(before: Any, after: Any) -> Difference:
    """Return what changed from the graph `before` to the graph `after`.

    Nodes are the same when they have the same name. `a` and `a:0` are the same input; so are
    control inputs in any order. An attribute that is left out is the same as its default.
    """
    before, after = (g.proto if isinstance(g, GraphView) else g for g in (before, after))
    old = {node.name: node for node in before.node}
    new = {node.name: node for node in after.node}
    common = [(node, new[name]) for name, node in old.items() if name in new]
    pairs = [(one, other) for one, other in common if one != other]  # few of them, most often
    attributes = tuple(filter(None, (_attributes_changed(*pair) for pair in pairs)))
    inputs = tuple(filter(None, (_inputs_changed(*pair) for pair in pairs)))
    values = tuple(filter(None, (_values_changed(*pair) for pair in pairs)))
    changed = {c.name for c in attributes} | {c.name for c in inputs} | {c.name for c in values}
    producers = before.versions.producer, after.versions.producer
    return Difference(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        attributes_changed=attributes,
        inputs_changed=inputs,
        values_changed=values,
        same=len(common) - len(changed),
        versions=None if producers[0] == producers[1] else producers,
    )


def _inputs(node: Any) -> tuple[str, ...]:
    data = [full_name(name) for name in node.input if not name.startswith("^")]
    return (*data, *sorted({name for name in node.input if name.startswith("^")}))


def _inputs_changed(before: Any, after: Any) -> InputsChanged | None:
    old, new = _inputs(before), _inputs(after)
    return None if old == new else InputsChanged(before.name, old, new)


def _attributes_changed(before: Any, after: Any) -> AttributesChanged | None:
    old: dict[str, str | None] = {}
    new: dict[str, str | None] = {}
    for key in ("op", "device"):
        if getattr(before, key) != getattr(after, key):
            old[key], new[key] = getattr(before, key), getattr(after, key)
    are_constants = before.op == after.op == "Const"
    for key in sorted({*before.attr, *after.attr}):
        if key == _VALUE and are_constants and key in before.attr and key in after.attr:
            continue
        values = [node.attr.get(key, None) for node in (before, after)]
        if values[0] != values[1] and not _is_default(after.op, key, values):
            old[key], new[key] = (None if v is None else attribute_text(v) for v in values)
    return AttributesChanged(before.name, old, new) if old else None


def _is_default(op: str, key: str, values: list[Any | None]) -> bool:
    """Tell whether one graph only says what holds in the other without being said."""
    default = ops.defaults(ops.registry().get(op)).get(key)
    if default is None or None not in values:
        return False
    said = next(value for value in values if value is not None)
    return bool(default.SerializeToString() == said.SerializeToString())


def _values_changed(before: Any, after: Any) -> ValuesChanged | None:
    if not before.op == after.op == "Const":
        return None
    if _VALUE not in before.attr or _VALUE not in after.attr:
        return None
    old, new = before.attr[_VALUE].tensor, after.attr[_VALUE].tensor
    if old == new:
        return None
    kinds = tensor_text(old), tensor_text(new)
    import numpy as np

    try:
        one, other = array(old), array(new)
    except ValueError:
        return ValuesChanged(before.name, *kinds)
    if kinds[0] != kinds[1]:
        return ValuesChanged(before.name, *kinds, count=other.size)
    differs = np.asarray(one != other)
    if one.dtype.kind in "fc":
        differs &= ~(np.isnan(one) & np.isnan(other))
    changed = int(np.count_nonzero(differs))
    if not changed:  # the same values, written in another way
        return None
    if one.dtype.kind not in "biufcV" or one.dtype.names:
        return ValuesChanged(before.name, *kinds, changed=changed, count=one.size)
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    old_values = one.astype(wide)
    distance = np.abs(other.astype(wide) - old_values)
    largest, scale = float(distance.max()), float(np.abs(old_values).max())
    return ValuesChanged(
        before.name,
        *kinds,
        changed=changed,
        count=one.size,
        largest=largest,
        mean=float(distance.mean()),
        largest_relative=largest / scale if scale > 0 and math.isfinite(scale) else None,
    )
