"""MetaGraphs: the `.meta` file beside a checkpoint, and what they share with SavedModels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.view import view_of
from retrain_tools.sources.contents import Choices, Frozen, ImageSize, graph_variables
from retrain_tools.sources.freezing.bundle_signatures import bundle_signatures, is_session_bundle
from retrain_tools.sources.freezing.freeze import freeze_signature
from retrain_tools.sources.freezing.signatures import (
    check_signature,
    choose_signature,
    stated_signatures,
)
from retrain_tools.sources.freezing.variable_places import (
    StoredValues,
    VariablePlace,
    places_by_name,
    restored_places,
)
from retrain_tools.sources.kinds import Kind, Place, checkpoint_files
from retrain_tools.sources.messages import read_message
from retrain_tools.sources.model import Model


def open_meta_graph(place: Place, choices: Choices) -> Model:
    """Open a `.meta` file; with its checkpoint beside it, it can be frozen.

    Args:
        place: the file; the checkpoint has its name without `.meta`.
        choices: `signature` says which of its signatures to freeze; most MetaGraphs have none, and
            are frozen from the data to the prediction, or to `outputs`.

    Raises:
        InputError: it is no MetaGraph, or its graph is inconsistent.
    """
    meta_graph = read_message(place, schema.MetaGraphDef, "a MetaGraph")
    graph_def, where = meta_graph.graph_def, str(place)
    check_graph(graph_def, where)
    prefix = place.with_name(place.path.stem)
    there = place.path.suffix == ".meta" and bool(checkpoint_files(prefix.path))
    signatures = stated_signatures(meta_graph) or bundle_signatures(meta_graph, where)
    if signatures:
        check_signature(choices.signature, signatures, where)
    restored = restored_places(meta_graph, where)
    values = graph_values(meta_graph, prefix, where, restored)

    def freeze(_: ImageSize = (None, None), light: bool = False) -> Frozen:
        wanted, outputs = choices.signature, choices.outputs
        chosen = choose_signature(signatures, wanted, graph_def, where, outputs)[1]
        return freeze_signature(
            graph_def, chosen, values, where, info_of=values.info if light else None
        )

    variables = graph_variables(graph_def)
    if there and restored:
        variables = tuple(variable for variable in variables if variable.name in restored)
    can_freeze = there or not variables
    what = "session bundle" if is_session_bundle(meta_graph) else "MetaGraph"
    version = meta_graph.meta_info_def.tensorflow_version
    beside = "with" if there else "without"
    why_not = (
        f"the values of its {len(variables)} variables are in a checkpoint that is not beside "
        f"it ({prefix.path.name}.index); copy it there."
    )
    return Model(
        path=place.named,
        kind=Kind.META_GRAPH,
        description=f"{what}{f' of TensorFlow {version}' if version else ''}, {beside} its "
        "checkpoint",
        stored=view_of(graph_def),
        variables=variables,
        signatures=signatures,
        details=meta_details(meta_graph),
        reader=values if there else None,
        freezer=freeze if can_freeze else None,
        light_freezer=functools.partial(freeze, light=True) if can_freeze else None,
        why_not_frozen="" if can_freeze else why_not,
    )


def graph_values(
    meta_graph: Any, prefix: Place, where: str, restored: Mapping[str, VariablePlace]
) -> StoredValues:
    """Return what reads the values of a MetaGraph's variables from the checkpoint `prefix`.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        prefix: the checkpoint's.
        where: its file, for messages.
        restored: its `restored_places`.
    """
    return StoredValues(prefix, lambda _: {**places_by_name(meta_graph), **restored}, where)


def meta_details(meta_graph: Any, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what else a MetaGraph tells about itself, and `more`; nothing that is empty."""
    details = {
        "written by TensorFlow": meta_graph.meta_info_def.tensorflow_version,
        "functions": str(len(meta_graph.graph_def.library.function) or ""),
        "collections": ", ".join(sorted(meta_graph.collection_def)),
        **(more or {}),
    }
    return {label: text for label, text in details.items() if text}
