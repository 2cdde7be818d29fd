"""A --graph flag to a frozen graph, whatever kind of file it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools import catalog
from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef.load import FrozenGraph, read_graph_def
from retrain_tools.graphdef.spec import SpecOverrides, make_spec
from retrain_tools.slim.checkpoint import holds_checkpoint
from retrain_tools.sources.checkpoints import Side, open_checkpoint_graph

_USUAL_SIDE = Side()


def load_graph(
    graph: str,
    model_dir: str | Path | None = None,
    overrides: SpecOverrides | None = None,
    preprocess: str | None = None,
) -> FrozenGraph:
    """Open a graph file, a slim checkpoint, or a catalogued network by its name.

    Args:
        graph: a file or folder, a checkpoint's prefix, or a name or alias from the catalogue
            (fetched once).
        model_dir: where catalogued networks and frozen checkpoints are kept; None for the user's
            cache folder.
        overrides: what the user said about tensors, picture size and scaling.
        preprocess: what to put before the network of a checkpoint; see `freeze_checkpoint`.

    Raises:
        InputError: there is no such graph, it cannot be read, or a tensor is not in it; or
            `preprocess` is given for what is no checkpoint.
    """
    overrides = overrides or SpecOverrides()
    side = Side(preprocess, overrides.input_height, overrides.input_width)
    graph_def, path, entry = open_graph(graph, model_dir, side)
    spec, entry = make_spec(graph_def, str(path), entry, overrides)
    return FrozenGraph(graph_def, spec, path, entry)


def open_graph(
    graph: str, model_dir: str | Path | None = None, side: Side = _USUAL_SIDE
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
        side = _published_size(path, side)
        return open_checkpoint_graph(str(path), model_dir, side), path, None
    if side.preprocess is not None:
        raise InputError(
            f"--preprocess={side.preprocess} is for slim checkpoints; {path} is a graph, which "
            "has its own way of preparing pictures."
        )
    return read_graph_def(path), path, entry


def _published_size(path: Path, side: Side) -> Side:
    """Take the size that a published archive was trained for: its variables do not tell it."""
    known = None if side.height or side.width else catalog.find_checkpoint(path.name)
    return side._replace(height=known.image_size) if known else side
