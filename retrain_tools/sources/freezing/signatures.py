"""Signatures: as a MetaGraph states them, or as a graph without any shows them itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.dtypes import FLOAT32, INT32, INT64, dtype_name
from retrain_tools.graphdef.navigate import (
    attribute,
    full_name,
    node_name,
    nodes_by_name,
    reached,
)
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.walks import Successors, consumers, downstream
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.freezing.variables import changes_state

_INTERNAL = "__saved_model_"  # how the names of TensorFlow's own signatures begin
_DEFAULTS = ("serving_default", "default")  # SavedModels'; Hub modules'
_FEEDING = ("IteratorGetNext", "QueueDequeueManyV2", "QueueDequeueUpToV2", "QueueDequeueV2")
_NO_RESULTS = (*PLACEHOLDERS, "Const", "NoOp", "Assert", "Print", "PrintV2")


def stated_signatures(meta_graph: Any) -> dict[str, Signature]:
    """Return the signatures of a `schema.MetaGraphDef`, in alphabetical order."""
    return {
        name: Signature(_ends(stated.inputs), _ends(stated.outputs))
        for name, stated in sorted(meta_graph.signature_def.items())
        if not name.startswith(_INTERNAL) and stated.outputs
    }


def _ends(stated: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        key: TensorInfo(info.name, dtype_name(info.dtype), shape_in(info.tensor_shape))
        for key, info in sorted(stated.items())
        if info.name  # a sparse tensor has three names of another kind
    }


def choose_signature(
    signatures: Mapping[str, Signature], wanted: str | None, graph_def: Any, where: str
) -> tuple[str, Signature]:
    """Return the signature of this name, or the default one, or the only one, with its name.

    Of a graph without any it is `forward_signature`.

    Raises:
        InputError: there is none of that name, or several and none that is the default.
    """
    if not signatures:
        return "(none)", forward_signature(graph_def, where)
    check_signature(wanted, signatures, where)
    for name in _DEFAULTS if wanted is None else [wanted]:
        if name in signatures:
            return name, signatures[name]
    if len(signatures) != 1:
        raise InputError(
            f"{where} has no signature called {_DEFAULTS[0]} and not just one; name one of: "
            f"{', '.join(signatures)}."
        )
    return next(iter(signatures.items()))


def check_signature(wanted: str | None, known: Collection[str], where: str) -> None:
    """Raise InputError if a signature is wanted that is none of the known ones."""
    if wanted is not None and wanted not in known:
        hint, listed = did_you_mean(wanted, known), ", ".join(known) or "none"
        raise InputError(f"No signature {wanted!r} in {where}.{hint} There are: {listed}.")


def forward_signature(graph_def: Any, where: str) -> Signature:
    """Return the path from the images to the results, in a graph that states no signature.

    A training graph also has labels, a loss, gradients, summaries and a Saver: whatever changes
    variables or is computed from labels is left out. Where images come from a queue or a data
    set, the batch that is taken from it is the input.

    Raises:
        InputError: nothing is computed from any placeholder, queue or data set.
    """
    nodes = nodes_by_name(graph_def)
    placeholders = [node for node in graph_def.node if node.op in PLACEHOLDERS]
    feeding = [node for node in graph_def.node if _feeds_numbers(node)]
    images = [node for node in placeholders if _may_be_image(node)]
    inputs = images or feeding or [node for node in placeholders if not _is_label(node)]
    labels = {node.name for node in placeholders if images and _is_label(node)}
    found = _inferred(graph_def, {node.name for node in inputs}, labels)
    ends = found - {node_name(i) for name in found for i in nodes[name].input if i[:1] != "^"}
    results = [n for n in graph_def.node if n.name in ends and n.op not in _NO_RESULTS]
    if not results:
        raise InputError(
            f"{where} cannot be frozen: no result is computed from a placeholder, a queue or a "
            "data set that takes images; freeze it with the program that made it."
        )
    return Signature(
        {node.name: _input_info(node) for node in inputs},
        {node.name: TensorInfo(full_name(node.name), "?", None) for node in results},
    )


def _input_info(node: Any) -> TensorInfo:
    if node.op in PLACEHOLDERS:
        shapes = [node.attr["shape"].shape] if "shape" in node.attr else []
        dtype = node.attr["dtype"].type
    else:
        shapes, dtype = attribute(node, "output_shapes").list.shape, _component_types(node)[0]
    shape = shape_in(shapes[0]) if shapes else None
    return TensorInfo(full_name(node.name), dtype_name(dtype), shape)


def _component_types(node: Any) -> Any:
    key = "output_types" if node.op == "IteratorGetNext" else "component_types"
    return attribute(node, key).list.type


def _feeds_numbers(node: Any) -> bool:
    return node.op in _FEEDING and _component_types(node)[:1] == [FLOAT32]


def _may_be_image(node: Any) -> bool:
    return len(attribute(node, "shape").shape.dim) == 4 and not _is_integer(node)


def _is_label(node: Any) -> bool:
    """Tell whether a placeholder is for labels: whole numbers, or rows of one-hot numbers."""
    rank = len(attribute(node, "shape").shape.dim)
    return node.op != "PlaceholderWithDefault" and (_is_integer(node) or rank in (1, 2))


def _is_integer(node: Any) -> bool:
    return attribute(node, "dtype").type in (INT32, INT64)


def _inferred(graph_def: Any, inputs: set[str], labels: set[str]) -> set[str]:
    """Return the nodes computed from `inputs`, and not from labels or by a training step."""
    nodes, after = nodes_by_name(graph_def), consumers(graph_def)
    # The second and later things that a queue hands out are labels and file names.
    later = {
        taking
        for name in inputs
        for taking in after.get(name, ())
        for source in nodes[taking].input
        if node_name(source) == name and source[:1] != "^" and full_name(source) != f"{name}:0"
    }
    apart = downstream(after, labels | later)
    passed_by = apart | {node.name for node in graph_def.node if _is_bookkeeping(node)}

    def inferring(name: str) -> Iterable[str]:
        return (taking for taking in after.get(name, ()) if taking not in passed_by)

    found = reached(inputs - apart, inferring, ())
    changes = {node.name for node in graph_def.node if changes_state(node)}
    return found - _updates(found, after, changes)


def _updates(names: set[str], after: Successors, changes: Collection[str]) -> set[str]:
    """Return the nodes that are computed only to be assigned to a variable."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name in names - found
            if name in after and all(taking in changes or taking in found for taking in after[name])
        }
        if not more:
            return found
        found |= more


def _is_bookkeeping(node: Any) -> bool:
    in_gradients = any(part.startswith("gradients") for part in node.name.split("/")[:-1])
    return in_gradients or "Summary" in node.op or changes_state(node)
