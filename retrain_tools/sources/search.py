"""Finds the one model in a folder or an unpacked archive."""

from __future__ import annotations

from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.sources.kinds import (
    ARCHIVES,
    Kind,
    Place,
    checkpoint_files,
    checkpoint_name,
    kind_of,
)

_DEEPEST = 6
_LISTED = 12
_LOOKED_AT = 5_000
# What a SavedModel's folder has beside its graph.
_BESIDE_FILES = {"fingerprint.pb", "keras_metadata.pb"}
_BESIDE = _BESIDE_FILES | {"variables", "assets", "assets.extra", "debug"}


def one_model(folder: Place, deep: bool) -> Place:
    """Return the only thing in a folder that can be opened.

    A checkpoint with its `.meta` file is one thing: the MetaGraph.

    Args:
        folder: the folder.
        deep: search subfolders as well.

    Raises:
        InputError: there is nothing, or more than one.
    """
    models = _models(folder.path, _DEEPEST if deep else 0)
    found = [str(model.relative_to(folder.path)) for model in models]
    if len(found) == 1:
        return folder if found[0] == "." else folder / found[0]
    if not found:
        raise InputError(_nothing_in(folder))
    listed = ", ".join(found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise InputError(
        f"{folder} holds {len(found)} models: {listed}{more}; name one, as {folder}/{found[0]}."
    )


def _nothing_in(folder: Place) -> str:
    """Say what a folder lacks that holds no model."""
    names = sorted(child.name for child in folder.path.iterdir())
    if checkpoint_files(folder.path / "variables" / "variables"):
        return (
            f"{folder} has no saved_model.pb: it holds the variables of a SavedModel, but not its "
            f"graph; copy the whole folder, or name {folder}/variables to see the variables alone."
        )
    if names and _BESIDE.issuperset(names):
        return (
            f"{folder} has no saved_model.pb: it holds what lies beside a SavedModel's graph "
            f"({', '.join(names)}), but not the graph; copy the whole folder."
        )
    listed = f" (there is {', '.join(names[:_LISTED])})" if names else " (it is empty)"
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    listed = listed.removesuffix(")") + f"{more})"
    return (
        f"{folder} holds no model{listed}: no saved_model.pb, and no GraphDef, checkpoint, Keras "
        "or TensorFlow Lite file; name the file itself."
    )


def _models(folder: Path, depth: int) -> list[Path]:
    if _kind(folder) is Kind.SAVED_MODEL:
        return [folder]
    checkpoints: set[Path] = set()
    found: list[Path] = []
    children = sorted(folder.iterdir())
    if len(children) > _LOOKED_AT:
        raise InputError(f"{folder} holds {len(children):,} files; name the model itself.")
    kinds = {child: _kind(child) for child in children if child.name not in _BESIDE_FILES}
    has_graph = any(kinds[child] is Kind.SAVED_MODEL and child.is_file() for child in kinds)
    for child, kind in kinds.items():
        if has_graph and child.name in _BESIDE:  # a SavedModel whose graph has another name
            continue
        if child.is_symlink() and depth > 0:  # in an archive, the same again
            continue
        if child.is_dir() and depth > 0:
            found += _models(child, depth - 1)
            continue
        if child.is_dir():
            found += [child] if kind is Kind.SAVED_MODEL else []
        elif kind is Kind.CHECKPOINT:
            if child.name != "checkpoint":  # the file that names the newest
                checkpoints.add(child.with_name(checkpoint_name(child.name)))
        elif kind is not None and kind not in ARCHIVES:
            found.append(child)
    graphs = {model.with_suffix("") for model in found if model.suffix == ".meta"}
    return found + sorted(checkpoints - graphs)


def _kind(path: Path) -> Kind | None:
    try:
        return kind_of(path)
    except InputError:  # a text, an image, a list of labels
        return None
