"""SavedModel folders of TensorFlow 1 and 2: tags, signatures and functions to a frozen graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef import schema
from retrain_tools.sources.freezing import freeze_signature
from retrain_tools.sources.messages import check_graph, read_message
from retrain_tools.sources.meta_graph import input_names, meta_details, stored_values
from retrain_tools.sources.object_graph import (
    OBJECT_GRAPH_KEY,
    CalledFunction,
    call_function,
    function_names,
    is_reusable,
    object_places,
)
from retrain_tools.sources.opened import FrozenSource, Opened, Signature
from retrain_tools.sources.restored import Place, restored_places
from retrain_tools.sources.scaling_notes import attach_hub_note, attach_keras_note
from retrain_tools.sources.signatures import choose_signature, forward_signature, stated_signatures
from retrain_tools.sources.stored_values import StoredValues, checkpoint_there, graph_variables

_SERVE = ["serve"]
HUB_FILE = "tfhub_module.pb"


@dataclasses.dataclass(frozen=True)
class _Model:
    """One MetaGraph of a SavedModel, and where it is."""

    folder: Path
    meta_graph: Any
    signatures: Mapping[str, Signature]
    functions: Sequence[str]
    is_hub_module: bool

    @property
    def prefix(self) -> Path:
        return self.folder / "variables" / "variables"


def open_saved_model(
    folder: Path, tags: Sequence[str] | None = None, signature: str | None = None
) -> Opened:
    """Open a SavedModel folder, or a TF1 Hub module, which is one with a file more.

    Args:
        folder: the folder with `saved_model.pb`.
        tags: which of its graphs, by all of its tags; None for `serve`, a Hub module's graph
            without tags, or the only one.
        signature: what to freeze: a signature, or a function of the saved object; None for
            `serving_default`, `default`, the only one, or `__call__`.

    Raises:
        InputError: the folder holds no SavedModel, no graph of these tags, or a damaged one.
    """
    is_hub_module = (folder / HUB_FILE).is_file()
    meta_graph, others = _choose_tags(_read(folder), tags, folder, is_hub_module)
    check_graph(meta_graph.graph_def, str(folder))
    signatures = stated_signatures(meta_graph)
    functions = function_names(meta_graph)
    if signature is not None and signature not in {*signatures, *functions}:
        listed = ", ".join([*signatures, *functions]) or "none"
        hint = did_you_mean(signature, [*signatures, *functions])
        raise InputError(f"No signature {signature!r} in {folder}.{hint} There are: {listed}.")
    model = _Model(folder, meta_graph, signatures, functions, is_hub_module)
    called = None
    if signature in functions or (not signatures and "__call__" in functions):
        called = call_function(meta_graph, signature or "__call__", str(folder))
    details = meta_details(meta_graph)
    if functions:
        details["functions of the saved object"] = ", ".join(functions)
    if others:
        details["other tag sets"] = "; ".join(others)
    there = checkpoint_there(model.prefix)
    variables = graph_variables(called.graph_def if called else meta_graph.graph_def)
    if called is None and (stored := restored_places(meta_graph, str(folder))):
        # Keras saves further copies of its variables, which have no values.
        variables = tuple(variable for variable in variables if variable.name in stored)
    can_freeze = there or not variables
    values = _values(model, called)
    return Opened(
        path=folder,
        kind=_kind(model),
        graph_def=called.graph_def if called else meta_graph.graph_def,
        variables=variables,
        signatures={(signature or "__call__"): called.signature} if called else signatures,
        details=details,
        reader=values if there else None,
        freezer=(lambda: _freeze(model, called, signature, values)) if can_freeze else None,
        why_not=""
        if can_freeze
        else f"its variables are missing ({model.prefix}.index); copy the whole folder.",
    )


def _read(folder: Path) -> Any:
    path = folder / "saved_model.pb"
    if not path.is_file():
        path = folder / "saved_model.pbtxt"
    if not path.is_file() and (folder / "saved_model.cpb").is_file():
        raise InputError(
            f"{folder} is a SavedModel split into chunks (saved_model.cpb); save it again without "
            "experimental_image_format."
        )
    model = read_message(path, schema.SavedModel, "a SavedModel")
    if not model.meta_graphs:
        raise InputError(f"{path} is damaged: a SavedModel without any graph; copy it again.")
    return model


def _choose_tags(
    model: Any, tags: Sequence[str] | None, folder: Path, is_hub_module: bool
) -> tuple[Any, list[str]]:
    """Return the MetaGraph of the tags, and what the other ones are tagged."""
    by_tags = {tuple(sorted(m.meta_info_def.tags)): m for m in model.meta_graphs}
    usual: Sequence[str] = () if is_hub_module else _SERVE
    wanted = tuple(sorted(usual if tags is None else tags))
    if tags is None and wanted not in by_tags and len(by_tags) == 1:
        wanted = next(iter(by_tags))
    if wanted not in by_tags:
        listed = "; ".join(_tag_text(known) for known in sorted(by_tags))
        raise InputError(
            f"No graph with tags {_tag_text(wanted)} in {folder}; there are: {listed}. Name all of "
            "one graph's tags."
        )
    return by_tags[wanted], [_tag_text(known) for known in sorted(by_tags) if known != wanted]


def _tag_text(tags: Sequence[str]) -> str:
    return ", ".join(tags) or "(none)"


def _kind(model: _Model) -> str:
    info = model.meta_graph.meta_info_def
    tags = _tag_text(sorted(info.tags))
    if model.is_hub_module:
        return f"TF1 Hub module, tags {tags}"
    what = "SavedModel (TF2 Hub interface)" if is_reusable(model.meta_graph) else "SavedModel"
    return f"{what} of TensorFlow {info.tensorflow_version or '(unknown version)'}, tags {tags}"


def _values(model: _Model, called: CalledFunction | None) -> StoredValues:
    where = str(model.folder)
    if called is None:
        return stored_values(model.meta_graph, str(model.prefix), where)

    def places(reader: Any) -> Mapping[str, Place]:
        if not reader.has_tensor(OBJECT_GRAPH_KEY):
            return {}
        saved = reader.get_tensor(OBJECT_GRAPH_KEY)
        return object_places(model.meta_graph, called.objects, saved)

    return StoredValues(str(model.prefix), places, where)


def _freeze(
    model: _Model, called: CalledFunction | None, signature: str | None, values: StoredValues
) -> FrozenSource:
    where = str(model.folder)
    graph_def = model.meta_graph.graph_def
    if called is not None:
        name, chosen, graph_def = signature or "__call__", called.signature, called.graph_def
    elif model.signatures:
        name, chosen = choose_signature(model.signatures, signature, where)
    else:
        name, chosen = "(none)", forward_signature(graph_def, where)
    frozen, outputs = freeze_signature(graph_def, chosen, values, where)
    what = "Hub module" if model.is_hub_module else "SavedModel"
    source = FrozenSource(
        frozen,
        input_names(chosen, frozen),
        outputs,
        f"{what} {model.folder.name}, signature {name}",
    )
    if model.is_hub_module or is_reusable(model.meta_graph):
        classifies = "image_classification" in model.signatures
        return attach_hub_note(source, chosen, classifies=classifies)
    if not model.meta_graph.object_graph_def.nodes:  # other people's networks have such scopes too
        return source
    return attach_keras_note(source, chosen)
