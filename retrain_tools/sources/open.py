"""Any TensorFlow file, by its content: the one entrance."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.sources import archives
from retrain_tools.sources.checkpoint_listing import open_checkpoint_listing
from retrain_tools.sources.found import one_model
from retrain_tools.sources.graph_files import open_graph_file
from retrain_tools.sources.keras_file import open_hdf5, open_keras
from retrain_tools.sources.kinds import ARCHIVES, Kind, kind_of
from retrain_tools.sources.meta_graph import open_meta_graph
from retrain_tools.sources.opened import Opened
from retrain_tools.sources.saved_model import open_saved_model
from retrain_tools.sources.tflite_file import open_tflite


def open_file(
    path: str | Path, tags: Sequence[str] | None = None, signature: str | None = None
) -> Opened:
    """Open a file or folder of any kind; nothing that it holds is run.

    Args:
        path: a file, a folder, the prefix of a checkpoint, or something inside an archive
            (`network.tar.gz/frozen.pb`).
        tags: of a SavedModel or Hub module: which of its graphs, by all of its tags.
        signature: of a MetaGraph, a SavedModel or a Hub module: what to freeze.

    Raises:
        InputError: there is no such file, it is no TensorFlow file or a damaged one, an archive
            or folder holds none or more than one, or tags or signature are not there.
    """
    path = Path(path).expanduser()
    try:
        return _opened(path, tags, signature)
    except OSError as error:  # no right to read it, a disk that fails
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _opened(path: Path, tags: Sequence[str] | None, signature: str | None) -> Opened:
    if (inside := _inside_archive(path)) is not None:
        return _open_archive(inside[0], path, tags, signature, inside[1])
    kind = kind_of(path)
    if kind in ARCHIVES:
        return _open_archive(path, path, tags, signature)
    if kind is Kind.FOLDER:
        return open_file(one_model(path, str(path), deep=False), tags, signature)
    opened = _open(path, kind, tags, signature)
    if tags is not None and kind is not Kind.SAVED_MODEL:
        raise InputError(f"{path} is a {kind.value}, which has no tags; leave them out.")
    if signature is not None and kind not in (Kind.SAVED_MODEL, Kind.META_GRAPH):
        raise InputError(f"{path} is a {kind.value}, which has no signatures; leave them out.")
    return opened


def _open(path: Path, kind: Kind, tags: Sequence[str] | None, signature: str | None) -> Opened:
    match kind:
        case Kind.GRAPH_DEF:
            return open_graph_file(path)
        case Kind.META_GRAPH:
            return open_meta_graph(path, signature)
        case Kind.SAVED_MODEL:
            return open_saved_model(path if path.is_dir() else path.parent, tags, signature)
        case Kind.KERAS:
            return open_keras(path)
        case Kind.HDF5:
            return open_hdf5(path)
        case Kind.TFLITE:
            return open_tflite(path)
        case _:
            return open_checkpoint_listing(path)


def _inside_archive(path: Path) -> tuple[Path, str] | None:
    """Split `network.tgz/a/b.pb` into the archive and the name inside it."""
    if path.exists():
        return None
    for parent in path.parents:
        if parent.is_file():
            is_archive = kind_of(parent) in ARCHIVES
            return (parent, str(path.relative_to(parent))) if is_archive else None
    return None


def _open_archive(
    archive: Path,
    path: Path,
    tags: Sequence[str] | None,
    signature: str | None,
    inside: str | None = None,
) -> Opened:
    holder = archives.unpack(archive, kind_of(archive))
    folder = Path(holder.name)
    try:
        model = folder / inside if inside else one_model(folder, str(archive), deep=True)
        opened = open_file(model, tags, signature)
    except InputError as error:
        # Where it was unpacked to says nothing to the user, and is gone by then.
        raise InputError(str(error).replace(str(folder), str(archive))) from error
    return dataclasses.replace(
        opened,
        path=path,
        kind=f"{opened.kind}, in {archive.name}",
        details={"in the archive": str(model.relative_to(folder)), **opened.details},
        keeps=[holder, opened.keeps],
        freezer=_renamed(opened.freezer, folder, archive),
        reader=_renamed(opened.reader, folder, archive),
    )


def _renamed(function: Any, folder: Path, archive: Path) -> Any:
    """Let the errors of a function name the archive instead of where it was unpacked to."""
    if function is None:
        return None

    def renamed(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except InputError as error:
            raise InputError(str(error).replace(str(folder), str(archive))) from error

    return renamed
