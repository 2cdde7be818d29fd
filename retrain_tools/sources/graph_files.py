"""GraphDef files as opened files: frozen ones, and ones whose variables are elsewhere."""

from __future__ import annotations

from pathlib import Path

from retrain_tools.graphdef.load import read_graph_def
from retrain_tools.graphdef.note import read_note
from retrain_tools.graphdef.tensors import Tensor, graph_inputs, graph_outputs, list_tensors
from retrain_tools.sources.opened import FrozenSource, Opened
from retrain_tools.sources.stored_values import graph_variables

_WHY_NOT = (
    "its variables have no values: a GraphDef does not hold them; pass the .meta file beside the "
    "checkpoint, or the SavedModel, that belongs to it."
)


def open_graph_file(path: Path) -> Opened:
    """Open a binary or text GraphDef; one with variables can be listed, but not frozen.

    Raises:
        InputError: see `read_graph_def`.
    """
    graph_def = read_graph_def(path, allow_variables=True)
    variables = graph_variables(graph_def)

    def freeze() -> FrozenSource:
        frozen = read_graph_def(path)
        tensors = list_tensors(frozen)
        return FrozenSource(
            frozen,
            _by_name(graph_inputs(frozen, tensors)),
            _by_name(graph_outputs(frozen, tensors)),
            f"GraphDef {path.name}",
            read_note(frozen),
        )

    return Opened(
        path=path,
        kind="GraphDef with variables" if variables else "frozen GraphDef",
        graph_def=graph_def,
        variables=variables,
        details={"producer version": str(graph_def.versions.producer)},
        freezer=None if variables else freeze,
        why_not=_WHY_NOT if variables else "",
    )


def _by_name(tensors: list[Tensor]) -> dict[str, str]:
    return {tensor.name.removesuffix(":0"): tensor.name for tensor in tensors}
