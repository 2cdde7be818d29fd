"""Freezing as TensorFlow's own freeze_graph does it: a graph, its checkpoint, and node names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Choices, Frozen
from retrain_tools.sources.freezing.freeze import freeze_signature
from retrain_tools.sources.freezing.prediction import forward_signature
from retrain_tools.sources.freezing.variable_places import restored_places
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.messages import read_message
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.graph_def import read_graph_def
from retrain_tools.sources.readers.meta_graph import graph_values


@dataclasses.dataclass(frozen=True)
class ClassicInputs:
    """What freeze_graph's flags name; each is called as its flag there.

    Attributes:
        input_graph: a GraphDef, binary or text, which its content tells.
        input_meta_graph: a MetaGraph instead.
        input_checkpoint: the variables of either: a V2 prefix, or a V1 file.
        input_saved_model_dir: a SavedModel instead of all that.
        tags: of the SavedModel; None for the usual ones.
        outputs: names of nodes; None for what the graph shows as its results.
        restore_op_name: the node of a GraphDef that restores its variables: what it restores tells
            where they are kept, slices of larger ones too. Without it they are found by name.
    """

    input_graph: str | None = None
    input_meta_graph: str | None = None
    input_checkpoint: str | None = None
    input_saved_model_dir: str | None = None
    tags: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    restore_op_name: str = "save/restore_all"

    @property
    def are_given(self) -> bool:
        """Whether one of them is named."""
        graphs = (self.input_graph, self.input_meta_graph, self.input_saved_model_dir)
        return any(graphs) or bool(self.input_checkpoint)


def freeze_classic(given: ClassicInputs) -> Frozen:
    """Return a graph from its placeholders to named nodes, with constants for variables.

    Raises:
        InputError: not just one graph is named, or its checkpoint is not; a file is missing or
            damaged; or the graph cannot be frozen.
    """
    names = ("input_graph", "input_meta_graph", "input_saved_model_dir")
    named = [name for name in names if getattr(given, name)]
    if len(named) != 1:
        listed = ", ".join(map(argument, names))
        raise InputError(f"Name one of {listed}.")
    if given.input_saved_model_dir:
        model = open_model(given.input_saved_model_dir, None, Choices(tags=given.tags))
        graph_def, values, where = model.stored_graph, model.reader, str(model.path)
        if values is None:
            raise InputError(f"{where} cannot be frozen: {model.why_not_frozen}")
    else:
        if not given.input_checkpoint:
            raise InputError(
                f"{argument(named[0])} takes the values of its variables from "
                f"{argument('input_checkpoint')}; name it as well."
            )
        place = Place.of(str(getattr(given, named[0])))
        meta_graph, where = _meta_graph(place, named[0], given.restore_op_name), str(place)
        check_graph(meta_graph.graph_def, where)
        prefix = Place.of(given.input_checkpoint)
        Checkpoint(prefix)  # that it is there, and whole
        by_saver = meta_graph.saver_def.restore_op_name
        restored = restored_places(meta_graph, where) if by_saver else {}
        graph_def = meta_graph.graph_def
        values = graph_values(meta_graph, prefix, where, restored)
    signature = forward_signature(graph_def, where, given.outputs)
    return freeze_signature(graph_def, signature, values, where)


def _meta_graph(place: Place, name: str, restore_op_name: str) -> Any:
    if not place.path.is_file():
        raise InputError(f"No such file: {place} ({argument(name)}).")
    if name == "input_meta_graph":
        return read_message(place, schema.MetaGraphDef, "a MetaGraph")
    result = schema.MetaGraphDef(graph_def=read_graph_def(place.path).proto)
    if any(node.name == restore_op_name for node in result.graph_def.node):
        result.saver_def.restore_op_name = restore_op_name
    return result
