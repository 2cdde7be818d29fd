"""Checkpoints of any network, to be looked at: each variable's name, type, shape and value."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.slim.checkpoint import CheckpointVariables, checkpoint_files, open_checkpoint
from retrain_tools.slim.recognise import recognise
from retrain_tools.sources.meta_graph import open_meta_graph
from retrain_tools.sources.opened import FrozenSource, Opened, StoredVariable

_OBJECT_KEY = re.compile(r"(.*)/\.ATTRIBUTES/.*")  # keys of checkpoints of TensorFlow 2
_PART = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")
_WHY_NOT = (
    "a checkpoint has variables but no graph; pass the .meta file or the SavedModel that it "
    "belongs to, or a checkpoint of a slim network."
)


def open_checkpoint_listing(path: Path) -> Opened:
    """Open a checkpoint, whatever network it is of.

    With the `.meta` file of the same name beside it, it can be frozen. Checkpoints of slim's
    networks need none: they have a reader of their own (`sources.checkpoints`), and are named in
    `details`.

    Args:
        path: a V2 prefix or one of its files, a V1 file, or a folder with one checkpoint.

    Raises:
        InputError: there is no checkpoint, more than one, or a damaged one.
    """
    named = str(_whole(path))
    with open_checkpoint(named) as reader:
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    variables = tuple(
        StoredVariable(name, dtypes[name].name, tuple(shapes[name])) for name in sorted(shapes)
    )

    @functools.cache
    def values() -> Any:
        with open_checkpoint(named) as reader:
            return CheckpointVariables(reader, {name: name for name in shapes}, named)

    def value(name: str) -> npt.NDArray[Any]:
        return values()[name]

    meta = _meta_graph(named)

    def freeze() -> FrozenSource:
        return open_meta_graph(meta).freeze()

    objects = any(_OBJECT_KEY.fullmatch(name) for name in shapes)
    details = {"variables": str(len(variables))}
    if network := _slim_network(shapes):
        details["network"] = f"slim's {network}"
    if meta.is_file():
        details["graph"] = meta.name
    return Opened(
        path=path,
        kind="checkpoint of TensorFlow 2 objects" if objects else "checkpoint of variables",
        variables=variables,
        details=details,
        reader=value,
        freezer=freeze if meta.is_file() else None,
        why_not="" if meta.is_file() else _WHY_NOT,
    )


def _whole(path: Path) -> Path:
    """Return what the checkpoint is called whose file `path` may be."""
    if path.name == "checkpoint":
        return path.parent
    return path.with_name(_PART.sub("", path.name))


def _meta_graph(named: str) -> Path:
    """Return where the MetaGraph of a checkpoint would be."""
    file = checkpoint_files(named)[0]
    prefix = file.with_suffix("") if file.suffix == ".index" else file
    return prefix.with_name(f"{prefix.name}.meta")


def _slim_network(shapes: dict[str, list[int]]) -> str | None:
    try:
        return recognise({name: tuple(shape) for name, shape in shapes.items()}).name
    except InputError:
        return None
