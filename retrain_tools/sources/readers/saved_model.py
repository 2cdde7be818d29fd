"""SavedModel folders of TensorFlow 1 and 2, TF1 Hub modules among them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.view import view_of
from retrain_tools.sources.contents import (
    Choices,
    Frozen,
    ImageSize,
    Signature,
    TensorInfo,
    graph_variables,
)
from retrain_tools.sources.freezing.freeze import freeze_signature
from retrain_tools.sources.freezing.object_graph import (
    CalledFunction,
    call_function,
    function_names,
    is_reusable,
    object_places,
)
from retrain_tools.sources.freezing.scaling_notes import attach_hub_note, attach_keras_note
from retrain_tools.sources.freezing.signatures import (
    check_signature,
    choose_signature,
    stated_signatures,
)
from retrain_tools.sources.freezing.stated_sizes import stated_size
from retrain_tools.sources.freezing.variable_places import StoredValues, restored_places
from retrain_tools.sources.hub_handles import handle_of
from retrain_tools.sources.inside.saved import saved_parts
from retrain_tools.sources.kinds import SAVED_MODEL_FILES, Kind, Place, checkpoint_files
from retrain_tools.sources.messages import read_message
from retrain_tools.sources.model import Model
from retrain_tools.sources.readers.meta_graph import graph_values, meta_details

_SERVE = ["serve"]
_HUB_FILE = "tfhub_module.pb"


def open_saved_model(place: Place, choices: Choices) -> Model:
    """Open a SavedModel, or a TF1 Hub module, which is one with a file more.

    Args:
        place: the folder, or the protobuf file in it.
        choices: `tags` say which of its graphs; without them it is `serve`, a Hub module's graph
            without tags, or the only one. `signature` names what to freeze: a signature, or a
            function of the saved object; without it, `serving_default`, `default`, the only one,
            or `__call__`.

    Raises:
        InputError: it is no SavedModel, is damaged, or has no such tags or no such signature.
    """
    folder = place if place.path.is_dir() else place.parent
    named = folder if place.path.name in SAVED_MODEL_FILES else place
    is_hub_module = (folder.path / _HUB_FILE).is_file()
    where, signature = str(named), choices.signature
    meta_graph, others = _choose_tags(_read(place), choices.tags, where, is_hub_module)
    check_graph(meta_graph.graph_def, where)
    signatures, functions = stated_signatures(meta_graph), function_names(meta_graph)
    check_signature(signature, [*signatures, *functions], where)
    called = None
    if signature in functions or (not signatures and "__call__" in functions):
        called = call_function(meta_graph, signature or "__call__", where)
        signatures = {signature or "__call__": called.signature}
    graph_def = called.graph_def if called else meta_graph.graph_def
    prefix = folder / "variables" / "variables"
    variables, values = _variables(meta_graph, called, prefix, where)
    there = bool(checkpoint_files(prefix.path))
    can_freeze = there or not variables

    def freeze(_: ImageSize = (None, None), light: bool = False) -> Frozen:
        name, chosen = choose_signature(signatures, signature, graph_def, where)
        info_of = values.info if light else None
        frozen = freeze_signature(graph_def, chosen, values, where, info_of=info_of)
        kind = "Hub module" if is_hub_module else "SavedModel"
        source = f"{kind} {handle_of(folder.path) or named.named.name}, signature {name}"
        size = stated_size(meta_graph, signatures, folder.path)
        _attach_note(frozen, meta_graph, chosen, source, is_hub_module, size)
        return frozen

    more = {"functions of the saved object": ", ".join(functions), "other tag sets": others}
    why_not = f"its variables are missing ({prefix}.index); copy the whole folder."
    return Model(
        path=named.named,
        kind=Kind.SAVED_MODEL,
        description=_description(meta_graph, is_hub_module),
        stored=view_of(graph_def),
        variables=variables,
        signatures=signatures,
        details=meta_details(meta_graph, more),
        reader=values if there else None,
        describe=functools.partial(
            saved_parts, meta_graph, folder.path, variables, values.key if there else None
        ),
        freezer=freeze if can_freeze else None,
        light_freezer=functools.partial(freeze, light=True) if can_freeze else None,
        why_not_frozen="" if can_freeze else why_not,
    )


def _variables(
    meta_graph: Any, called: CalledFunction | None, prefix: Place, where: str
) -> tuple[tuple[TensorInfo, ...], StoredValues]:
    """Return the variables of the graph, or of the function that is called, and their values."""
    if called is not None:
        find_places = functools.partial(object_places, meta_graph, called.objects)
        return graph_variables(called.graph_def), StoredValues(prefix, find_places, where)
    variables = graph_variables(meta_graph.graph_def)
    if restored := restored_places(meta_graph, where):
        # Keras saves further copies of its variables, which have no values.
        variables = tuple(variable for variable in variables if variable.name in restored)
    return variables, graph_values(meta_graph, prefix, where, restored)


def _attach_note(
    frozen: Frozen,
    meta_graph: Any,
    chosen: Signature,
    source: str,
    is_hub_module: bool,
    image_size: tuple[int, int] | None,
) -> None:
    """Attach what is known of the network's pixels to its frozen graph."""
    if is_hub_module or is_reusable(meta_graph):
        classifies = "image_classification" in meta_graph.signature_def
        attach_hub_note(frozen, chosen, source, classifies, image_size)
    elif meta_graph.object_graph_def.nodes:  # other people's networks have Keras's scopes, too
        attach_keras_note(frozen, chosen, source)


def _read(place: Place) -> Any:
    if place.path.is_dir():
        binary, text, chunks = (place / name for name in SAVED_MODEL_FILES)
        if not binary.path.is_file() and not text.path.is_file() and chunks.path.is_file():
            raise InputError(
                f"{place} is a SavedModel split into chunks (saved_model.cpb); save it again "
                "without experimental_image_format."
            )
        place = binary if binary.path.is_file() else text
    model = read_message(place, schema.SavedModel, "a SavedModel")
    if not model.meta_graphs:
        raise InputError(f"{place} is damaged: a SavedModel without any graph; copy it again.")
    return model


def _choose_tags(
    model: Any, tags: Sequence[str] | None, where: str, is_hub_module: bool
) -> tuple[Any, str]:
    """Return the MetaGraph of the tags, and what the other ones are tagged."""
    by_tags = {tuple(sorted(m.meta_info_def.tags)): m for m in model.meta_graphs}
    usual: Sequence[str] = () if is_hub_module else _SERVE
    wanted = tuple(sorted(usual if tags is None else tags))
    if tags is None and wanted not in by_tags and len(by_tags) == 1:
        wanted = next(iter(by_tags))
    if wanted not in by_tags:
        listed = "; ".join(_tag_text(known) for known in sorted(by_tags))
        raise InputError(
            f"No graph with tags {_tag_text(wanted)} in {where}; there are: {listed}. Name all of "
            "one graph's tags."
        )
    others = "; ".join(_tag_text(known) for known in sorted(by_tags) if known != wanted)
    return by_tags[wanted], others


def _tag_text(tags: Sequence[str]) -> str:
    return ", ".join(tags) or "(none)"


def _description(meta_graph: Any, is_hub_module: bool) -> str:
    info = meta_graph.meta_info_def
    tags = _tag_text(sorted(info.tags))
    if is_hub_module:
        return f"TF1 Hub module, tags {tags}"
    what = "SavedModel (TF2 Hub interface)" if is_reusable(meta_graph) else "SavedModel"
    return f"{what} of TensorFlow {info.tensorflow_version or '(unknown version)'}, tags {tags}"
