"""The note a frozen graph carries about itself, in attributes that TensorFlow skips."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import node_name, nodes_by_name

# TensorFlow takes no notice of attributes whose names begin with an underscore, in any version.
_KEY = "_retrain_tools"
_LABELS = "_retrain_tools_labels"

# What reading a stranger's JSON may raise: it may be too deep, its numbers too large.
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True)
class Note:
    """What whoever froze a graph knew of it. Tensor names carry `:0`.

    Attributes:
        source: what was frozen, as `inception_v3`.
        preprocess: what stands before the pixels: `resize`, slim's evaluation crop, `slim`, or
            one of `spec.RESIZES`.
        mean, std: pixels are (x - mean) / std for x of 0 to 255; the mean may be one a colour.
        bottleneck: the tensor to cache; None where a later tool took it away.
        final: the graph's own result, or None.
        end_points: tensors by the names that slim, or Keras for its layers, gave them.
        scaled_by: what tells mean and std, for people: `Hub's convention for images`; empty where
            nobody wrote it down.
        image_size: the (height, width) that the network is meant for, where its graph takes any.
    """

    source: str
    preprocess: str
    mean: float | tuple[float, float, float]
    std: float
    bottleneck: str | None
    final: str | None
    end_points: Mapping[str, str]
    scaled_by: str = ""
    image_size: tuple[int, int] | None = None


def write_note(graph_def: Any, pixel_input: str, note: Note) -> None:
    """Attach the note to the node that takes the pixels; `graph_def` is changed."""
    held = {key: value for key, value in dataclasses.asdict(note).items() if _is_told(key, value)}
    text = json.dumps(held, sort_keys=True)
    nodes_by_name(graph_def)[node_name(pixel_input)].attr[_KEY].s = text.encode()


def _is_told(key: str, value: Any) -> bool:
    """Leave out what notes of earlier versions do not have where it says nothing."""
    return key not in ("scaled_by", "image_size") or bool(value)


def read_note(graph_def: Any) -> Note | None:
    """Return the note of the graph, less the tensors that it no longer has; None if there is none.

    A note that is not of this form, as a stranger's file may hold, counts as none.
    """
    nodes = nodes_by_name(graph_def)
    for node in graph_def.node:
        if _KEY in node.attr:
            try:
                return _parse(node.attr[_KEY].s, nodes)
            except _UNREADABLE:
                return None
    return None


def rename_in_note(node: Any, names: Mapping[str, str], end_points: bool = True) -> None:
    """Give the tensors in a node's note the new names of their nodes; `node` is changed.

    Args:
        node: any node; one without a note, or with one that cannot be read, stays as it is.
        names: new names of nodes by their old ones.
        end_points: whether the names that slim or Keras gave tensors stay in the note.
    """
    if _KEY not in node.attr:
        return
    try:
        values = json.loads(node.attr[_KEY].s)
        for key in ("bottleneck", "final"):
            values[key] = _renamed(values[key], names)
        told = values["end_points"].items() if end_points else ()
        values["end_points"] = {key: _renamed(name, names) for key, name in told}
    except _UNREADABLE:
        return
    node.attr[_KEY].s = json.dumps(values, sort_keys=True).encode()


def _renamed(tensor: str | None, names: Mapping[str, str]) -> str | None:
    if tensor is None or node_name(tensor) not in names:
        return tensor
    return names[node_name(tensor)] + tensor.removeprefix(node_name(tensor))


def move_note(source: Any, target: Any) -> None:
    """Attach to `target`, which is changed, what the node `source` notes of its graph."""
    for key in (_KEY, _LABELS):
        if key in source.attr:
            target.attr[key].CopyFrom(source.attr[key])


def write_labels(graph_def: Any, scores: str, labels: Sequence[str]) -> None:
    """Attach the labels to the node that gives the `scores`, in their order.

    They replace all others; `graph_def` is changed.
    """
    for node in graph_def.node:
        if _LABELS in node.attr:
            del node.attr[_LABELS]
    # Labels are made of folder names, which need not be UTF-8.
    texts = [label.encode("utf-8", "surrogateescape") for label in labels]
    if texts:
        nodes_by_name(graph_def)[node_name(scores)].attr[_LABELS].list.s.extend(texts)


def read_labels(graph_def: Any) -> list[str] | None:
    """Return the labels of the graph's scores, in their order; None where it notes none.

    They are those of the last layer, whichever tensor of it is fetched.
    """
    for node in graph_def.node:
        if _LABELS in node.attr:
            texts = node.attr[_LABELS].list.s
            return [text.decode("utf-8", "surrogateescape") for text in texts] or None
    return None


def _parse(text: bytes, nodes: Mapping[str, Any]) -> Note:
    def there(tensor: str | None) -> bool:
        return tensor is not None and node_name(tensor) in nodes

    values = json.loads(text)
    mean, std = values["mean"], float(values["std"])
    if not math.isfinite(1 / std) or not math.isfinite(std):
        raise ValueError(std)
    return Note(
        source=str(values["source"]),
        preprocess=str(values["preprocess"]),
        mean=_colours(mean) if isinstance(mean, list) else float(mean),
        std=std,
        bottleneck=values["bottleneck"] if there(values["bottleneck"]) else None,
        final=values["final"] if there(values["final"]) else None,
        end_points={key: name for key, name in values["end_points"].items() if there(name)},
        scaled_by=str(values.get("scaled_by", "")),
        image_size=_size(values.get("image_size")),
    )


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    height, width = map(int, value)
    return (height, width) if height > 0 and width > 0 else None


def _colours(mean: list[Any]) -> tuple[float, float, float]:
    red, green, blue = map(float, mean)
    return red, green, blue
