"""Signatures: as a MetaGraph states them, or as a graph without any shows them itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.sources.freezing.prediction import forward_signature

_INTERNAL = "__saved_model_"  # how the names of TensorFlow's own signatures begin
_DEFAULTS = ("serving_default", "default")  # SavedModels'; Hub modules'


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
    signatures: Mapping[str, Signature],
    wanted: str | None,
    graph_def: Any,
    where: str,
    outputs: Sequence[str] | None = None,
) -> tuple[str, Signature]:
    """Return the signature of this name, or the default one, or the only one, with its name.

    A default that takes a batch of encoded images decodes them in a loop, which no frozen graph
    has: where another signature takes one of them, and gives nothing else, that is returned.

    Of a graph without any, or with `outputs` named by the user, it is `forward_signature`.

    Raises:
        InputError: there is none of that name, or several and none that is the default.
    """
    if not signatures or outputs is not None:
        return "(none)", forward_signature(graph_def, where, outputs)
    check_signature(wanted, signatures, where)
    for name in _DEFAULTS if wanted is None else [wanted]:
        if name in signatures:
            name = _of_one_image(signatures, name) if wanted is None else name
            return name, signatures[name]
    if len(signatures) != 1:
        raise InputError(
            f"{where} has no signature called {_DEFAULTS[0]} and not just one; name one of: "
            f"{', '.join(signatures)}."
        )
    return next(iter(signatures.items()))


def _of_one_image(signatures: Mapping[str, Signature], default: str) -> str:
    """Return the signature that takes one of the strings that the default takes a batch of."""
    batch = signatures[default]
    if [(info.dtype, info.shape) for info in batch.inputs.values()] != [("string", (None,))]:
        return default
    for name, one in signatures.items():
        takes = [(info.dtype, info.shape) for info in one.inputs.values()]
        if takes == [("string", ())] and set(one.outputs) <= set(batch.outputs):
            return name
    return default


def check_signature(wanted: str | None, known: Collection[str], where: str) -> None:
    """Raise InputError if a signature is wanted that is none of the known ones."""
    if wanted is not None and wanted not in known:
        hint, listed = did_you_mean(wanted, known), ", ".join(known) or "none"
        raise InputError(f"No signature {wanted!r} in {where}.{hint} There are: {listed}.")
