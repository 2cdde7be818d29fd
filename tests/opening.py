"""Short ways to open graphs, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools.graphdef.spec import FrozenGraph, SpecOverrides
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.graph_def import read_graph_def as read_view


def load_graph(
    graph: str | Path,
    model_dir: str | Path | None = None,
    overrides: SpecOverrides | None = None,
    choices: Choices | None = None,
) -> FrozenGraph:
    """A file or name, opened and frozen."""
    return open_model(graph, model_dir, choices).frozen(overrides)


def read_graph_def(path: str | Path) -> Any:
    """The `schema.GraphDef` in a file."""
    return read_view(path).proto
