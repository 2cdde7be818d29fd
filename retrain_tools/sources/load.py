"""A --graph flag to a frozen graph, whatever kind of file it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.graphdef.load import FrozenGraph, read_graph_def
from retrain_tools.graphdef.spec import SpecOverrides, make_spec
from retrain_tools.slim.checkpoint import holds_checkpoint
from retrain_tools.sources.checkpoints import open_checkpoint_graph


def load_graph(
    graph: str,
    model_dir: str | Path | None = None,
    overrides: SpecOverrides | None = None,
    preprocess: str = "resize",
) -> FrozenGraph:
    """Open a graph file, a slim checkpoint, or a catalogued network by its name.

    Args:
        graph: a file or folder, a checkpoint's prefix, or a name or alias from the catalogue
            (fetched once).
        model_dir: where catalogued networks and frozen checkpoints are kept; None for the user's
            cache folder.
        overrides: what the user said about tensors, picture size and scaling.
        preprocess: what stands before the network of a checkpoint; see `freeze_checkpoint`.

    Raises:
        InputError: there is no such graph, it cannot be read, or a tensor is not in it.
    """
    graph_def, path, entry = open_graph(graph, model_dir, preprocess)
    spec, entry = make_spec(graph_def, str(path), entry, overrides or SpecOverrides())
    return FrozenGraph(graph_def, spec, path, entry)


def open_graph(
    graph: str, model_dir: str | Path | None = None, preprocess: str = "resize"
) -> tuple[Any, Path, CatalogEntry | None]:
    """Open a graph as `load_graph` does, without working out how pictures enter it.

    Returns:
        The GraphDef, the file that it came from, and its catalogue entry if it was asked for by
        name.

    Raises:
        InputError: there is no such graph, or it cannot be read.
    """
    path, entry = Path(graph), None
    if not holds_checkpoint(graph):
        path, entry = catalog.find_graph(graph, model_dir)
    if holds_checkpoint(str(path)):
        return open_checkpoint_graph(str(path), model_dir, preprocess), path, None
    return read_graph_def(path), path, entry
