"""Short ways to open graphs, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retrain_tools.errors import InputError
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


def freeze_checkpoint(
    path: str | Path,
    architecture: str | None = None,
    moving_averages: bool = True,
    image_size: int | None = None,
    preprocess: str = "resize",
) -> FrozenGraph:
    """A slim checkpoint, frozen, and not kept."""
    choices = Choices(
        preprocess=preprocess,
        architecture=architecture,
        moving_averages=moving_averages,
        keeps_frozen=False,
    )
    size = SpecOverrides(input_height=image_size, input_width=image_size)
    return load_graph(path, None, size, choices)


def refusal(path: Path) -> str:
    """The message without the path that it begins with."""
    with pytest.raises(InputError) as error:
        read_graph_def(path)
    message = str(error.value)
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")
