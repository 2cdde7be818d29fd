"""What a placeholder is for, beside the images: dropout, training or use, other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.navigate import attribute, full_name, node_name
from retrain_tools.graphdef.op_sets import PASS_THROUGH
from retrain_tools.graphdef.tensors import consumers_by_tensor

_SUMS = ("Add", "AddV2")
_COMPARISONS = ("GreaterEqual", "Greater", "Less", "LessEqual")
_RANDOM = ("RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2")
_TRAINING = ("Apply", "ResourceApply", "SparseApply", "ResourceSparseApply")


class Purpose(NamedTuple):
    """What a placeholder is for.

    Attributes:
        text: in words: completes "a scalar that has to be fed: "; empty where nothing shows it.
        value: what to feed outside of training, as one writes it in JSON; None where nothing shows
            it.
    """

    text: str
    value: str | None


_KEEP = Purpose("dropout's part to keep, 1 outside of training", "1.0")
_DROP = Purpose("dropout's part to drop, 0 outside of training", "0.0")
_SWITCH = Purpose("a switch, most often false outside of training", "false")
_RATE = Purpose("a number for training, as the learning rate", "0.0")
_UNKNOWN = Purpose("", None)


def purpose(graph_def: Any, nodes: Mapping[str, Any], placeholder: str) -> Purpose:
    """Return what a placeholder is for, as the nodes show that take it.

    Dropout keeps what is 1 in floor(keep + random), or where random >= 1 - keep; both ways are
    those of tf.nn.dropout, the first until TensorFlow 1.12.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        placeholder: the full name of the placeholder's tensor.
    """
    if dtype_name(attribute(nodes[node_name(placeholder)], "dtype").type) == "bool":
        return _SWITCH
    users = consumers_by_tensor(graph_def)
    waiting, seen = [(placeholder, True)], {placeholder}
    for tensor, is_kept in waiting:  # which grows
        for name in users.get(tensor, ()):
            node = nodes[name]
            others = [full_name(i) for i in node.input if i[:1] != "^" and full_name(i) != tensor]
            is_random = any(_is_random(nodes, other) for other in others)
            if node.op in _SUMS and is_random:
                return _KEEP if is_kept else _DROP
            if node.op in _COMPARISONS and is_random:
                return _DROP if is_kept else _KEEP
            if node.op.startswith(_TRAINING):
                return _RATE
            made = f"{name}:0"
            turns = node.op == "Sub" and len(others) == 1 and full_name(node.input[1]) == tensor
            if (turns or node.op in (*PASS_THROUGH, "Cast")) and made not in seen:
                seen.add(made)
                waiting.append((made, is_kept != turns))
    return _UNKNOWN


def _is_random(nodes: Mapping[str, Any], tensor: str, steps: int = 4) -> bool:
    """Tell whether a tensor is of random numbers that are at most scaled and shifted."""
    node = nodes[node_name(tensor)]
    if node.op in _RANDOM:
        return True
    passing = (*_SUMS, "Mul", "Sub", "Cast", *PASS_THROUGH)
    return (
        steps > 0
        and node.op in passing
        and any(_is_random(nodes, name, steps - 1) for name in node.input)
    )


def before_dropout(nodes: Mapping[str, Any], tensor: str) -> str:
    """Return what dropout is applied to, if `tensor` is what dropout makes; else `tensor`.

    The values are the same where nothing is dropped. Dropout multiplies by a mask of random
    numbers, or chooses by one, what it has divided by the part to keep.
    """
    node = nodes[node_name(tensor)]
    inputs = [full_name(name) for name in node.input if name[:1] != "^"]
    if node.op == "Mul":
        scaled, mask = inputs
    elif node.op in ("Select", "SelectV2"):
        mask, scaled, _ = inputs
    else:
        return tensor
    if not _is_mask(nodes, mask):
        return tensor
    scaling = nodes[node_name(scaled)]
    return full_name(scaling.input[0]) if scaling.op in ("RealDiv", "Div", "Mul") else scaled


def _is_mask(nodes: Mapping[str, Any], tensor: str) -> bool:
    node = nodes[node_name(tensor)]
    if node.op in ("Cast", *PASS_THROUGH):
        return _is_mask(nodes, node.input[0])
    return node.op in ("Floor", *_COMPARISONS) and any(_is_random(nodes, i) for i in node.input)


def feed_flags(graph_def: Any, nodes: Mapping[str, Any], placeholders: Sequence[str]) -> list[str]:
    """Return NAME=VALUE for each placeholder; `VALUE` stands where nothing shows what to feed."""
    found = [purpose(graph_def, nodes, name).value or "VALUE" for name in placeholders]
    return [f"{name}={value}" for name, value in zip(placeholders, found, strict=True)]
