"""MetaGraphs: the `.meta` file beside a checkpoint, and what they share with SavedModels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.sources.freezing import freeze_signature
from retrain_tools.sources.messages import check_graph, read_message
from retrain_tools.sources.opened import FrozenSource, Opened, Signature
from retrain_tools.sources.restored import Place, places_by_name, restored_places
from retrain_tools.sources.signatures import choose_signature, forward_signature, stated_signatures
from retrain_tools.sources.stored_values import StoredValues, checkpoint_there, graph_variables


def open_meta_graph(path: Path, signature: str | None = None) -> Opened:
    """Open a `.meta` file; with its checkpoint beside it, it can be frozen.

    Args:
        path: the file; the checkpoint has its name without `.meta`.
        signature: which of its signatures to freeze; most have none, and are frozen from the
            images to the results.

    Raises:
        InputError: it is no MetaGraph, or its graph is inconsistent.
    """
    where = str(path)
    meta_graph = read_message(path, schema.MetaGraphDef, "a MetaGraph")
    check_graph(meta_graph.graph_def, where)
    prefix = path.with_suffix("")
    there = path.suffix == ".meta" and checkpoint_there(prefix)
    signatures = stated_signatures(meta_graph)
    values = stored_values(meta_graph, str(prefix), where)

    def freeze() -> FrozenSource:
        if signatures:
            name, chosen = choose_signature(signatures, signature, where)
        else:
            name, chosen = "", forward_signature(meta_graph.graph_def, where)
        graph_def, outputs = freeze_signature(meta_graph.graph_def, chosen, values, where)
        of = f", signature {name}" if name else ""
        return FrozenSource(
            graph_def, input_names(chosen, graph_def), outputs, f"MetaGraph {path.name}{of}"
        )

    variables = graph_variables(meta_graph.graph_def)
    can_freeze = there or not variables
    version = meta_graph.meta_info_def.tensorflow_version
    beside = "with" if there else "without"
    return Opened(
        path=path,
        kind=f"MetaGraph{f' of TensorFlow {version}' if version else ''}, {beside} its checkpoint",
        graph_def=meta_graph.graph_def,
        variables=variables,
        signatures=signatures,
        details=meta_details(meta_graph),
        reader=values if there else None,
        freezer=freeze if can_freeze else None,
        why_not=""
        if can_freeze
        else (
            f"the values of its {len(variables)} variables are in a checkpoint that is not beside "
            f"it ({prefix.name}.index); copy it there."
        ),
    )


def stored_values(meta_graph: Any, prefix: str, where: str) -> StoredValues:
    """Return what reads the values of a MetaGraph's variables from the checkpoint `prefix`."""

    def places(_: Any) -> Mapping[str, Place]:
        names = [variable.name for variable in graph_variables(meta_graph.graph_def)]
        return places_by_name(meta_graph, names) | restored_places(meta_graph, where)

    return StoredValues(prefix, functools.cache(places), where)


def input_names(signature: Signature, graph_def: Any) -> dict[str, str]:
    """Return the inputs of a signature that the frozen graph still has, by key."""
    names = {node.name for node in graph_def.node}
    return {
        key: info.name for key, info in signature.inputs.items() if info.name.split(":")[0] in names
    }


def meta_details(meta_graph: Any) -> dict[str, str]:
    """Say what else a MetaGraph tells about itself."""
    details = {}
    if meta_graph.meta_info_def.tensorflow_version:
        details["written by TensorFlow"] = meta_graph.meta_info_def.tensorflow_version
    if meta_graph.graph_def.library.function:
        details["functions"] = str(len(meta_graph.graph_def.library.function))
    if meta_graph.collection_def:
        details["collections"] = ", ".join(sorted(meta_graph.collection_def))
    return details
