"""Finds the one model in a folder or an unpacked archive."""

from __future__ import annotations

from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.sources.kinds import ARCHIVES, Kind, Place, checkpoint_name, kind_of

_DEEPEST = 6
_LISTED = 12
_LOOKED_AT = 5_000


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
        names = sorted(child.name for child in folder.path.iterdir())
        listed = f" (there is {', '.join(names[:_LISTED])})" if names else " (it is empty)"
        raise InputError(
            f"{folder} holds no model{listed}: no GraphDef, SavedModel, checkpoint, Keras or "
            "TensorFlow Lite file; name the file itself."
        )
    listed = ", ".join(found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise InputError(
        f"{folder} holds {len(found)} models: {listed}{more}; name one, as {folder}/{found[0]}."
    )


def _models(folder: Path, depth: int) -> list[Path]:
    if _kind(folder) is Kind.SAVED_MODEL:
        return [folder]
    checkpoints: set[Path] = set()
    found: list[Path] = []
    children = sorted(folder.iterdir())
    if len(children) > _LOOKED_AT:
        raise InputError(f"{folder} holds {len(children):,} files; name the model itself.")
    for child in children:
        if child.is_symlink() and depth > 0:  # in an archive, the same again
            continue
        if child.is_dir() and depth > 0:
            found += _models(child, depth - 1)
            continue
        kind = _kind(child)
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
