"""The catalogue of known graphs and checkpoints: what each one needs, and finding its file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

import platformdirs

from retrain_tools import download
from retrain_tools.catalog_entry import (
    CatalogEntry,
    CheckpointEntry,
    Member,
    Published,
    read_checkpoint_entry,
    read_entry,
)
from retrain_tools.errors import InputError, did_you_mean

_Entry = TypeVar("_Entry", bound=Published)


def entries() -> dict[str, CatalogEntry]:
    """Return the known graphs by name, those of the folder RETRAIN_TOOLS_CATALOG included.

    An entry of that folder replaces a published one of the same name.

    Raises:
        InputError: that folder is missing, or a file in it breaks a rule of the catalogue.
    """
    return {file.stem: read_entry(file) for file in _files("*.toml")}


def checkpoints() -> dict[str, CheckpointEntry]:
    """Return the known checkpoints by name; they lie in the folders' `checkpoints/`.

    Raises:
        InputError: see `entries`.
    """
    return {file.stem: read_checkpoint_entry(file) for file in _files("checkpoints/*.toml")}


def _files(pattern: str) -> list[Path]:
    package = Path(__file__).resolve().parent
    installed, checkout = package / "graphs", package.parent / "graphs"
    folders = [installed if installed.is_dir() else checkout]
    if own := os.environ.get("RETRAIN_TOOLS_CATALOG"):
        folders.append(Path(own).expanduser())
        if not folders[-1].is_dir():
            raise InputError(f"RETRAIN_TOOLS_CATALOG names no folder: {own}")
    return [file for folder in folders for file in sorted(folder.glob(pattern))]


def find_checkpoint(name: str) -> CheckpointEntry | None:
    """Return the checkpoint with this name, alias or archive, or None."""
    known = checkpoints()
    by_archive = (entry for entry in known.values() if entry.archive == name)
    return _named(name, known) or next(by_archive, None)


def find_entry(name: str) -> CatalogEntry | None:
    """Return the entry with this name or alias (case-sensitive), or None.

    A MobileNet name with `_quantized` or `_quant` stands for the graph with 8-bit weights that lies
    in the same archive as the float graph.
    """
    catalog = entries()
    if entry := _named(name, catalog):
        return entry
    base = re.sub(r"_quant(ized)?$", "", name)
    entry = _named(base, catalog) if base != name else None
    if entry is None or not entry.name.startswith("mobilenet_"):
        return None
    quantized = PurePosixPath(entry.graph.path).with_name("quantized_graph.pb")
    return replace(
        entry,
        name=f"{entry.name}_quantized",
        description=f"{entry.description}, 8-bit weights",
        aliases=(),
        graph=Member(str(quantized), None, None),
    )


def _named(name: str, catalog: Mapping[str, _Entry]) -> _Entry | None:
    if name in catalog:
        return catalog[name]
    # The user's own entries come last, and win.
    return next((e for e in reversed(list(catalog.values())) if name in e.aliases), None)


def match_entry(
    node_names: Collection[str], image_size: tuple[int, int] | None
) -> CatalogEntry | None:
    """Return the entry of the network that a graph file of unknown origin holds, or None.

    Args:
        node_names: the names of all nodes of the graph.
        image_size: (height, width) that the graph asks for; None if it does not say. Then the
            result may stand for a family of sizes: do not rely on its `image_size`.

    Returns:
        The first entry by name whose pixel input and bottleneck are in the graph; None as well if
        several are and they disagree about tensors or preprocessing.
    """
    matches = [
        entry
        for _, entry in sorted(entries().items())
        if entry.pixel_input.rpartition(":")[0] in node_names
        and entry.bottleneck.rpartition(":")[0] in node_names
        and image_size in (None, entry.image_size)
    ]
    uses = {(e.pixel_input, e.mean, e.std, e.bottleneck, e.depth, e.pooling) for e in matches}
    return matches[0] if len(uses) == 1 else None


def is_published(path: Path, entry: CatalogEntry) -> bool:
    """Tell whether a file is the published graph of an entry, or the archive that holds it.

    Only a file of the published SHA-256 is; where nobody published one, no file is.
    """
    archive = Member(entry.archive, entry.archive_bytes, entry.archive_sha256)
    for member in (entry.graph, archive):
        if member.sha256 is None or not path.is_file():
            continue
        if member.bytes in (None, path.stat().st_size):
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == member.sha256:
                    return True
    return False


def model_folder(model_dir: str | Path | None) -> Path:
    """Return the folder for downloads: as given, RETRAIN_TOOLS_HOME, or one in the user's cache."""
    home = os.environ.get("RETRAIN_TOOLS_HOME", "") if model_dir is None else Path(model_dir)
    if home != "":
        return Path(home).expanduser()
    return platformdirs.user_cache_path("retrain_tools", appauthor=False)


def label_paths(entry: CatalogEntry, graph_path: Path) -> list[Path]:
    """Return the label files of `entry` that lie beside `graph_path` as in the archive."""
    root = PurePosixPath(entry.graph.path).parent
    beside = [graph_path.parent / os.path.relpath(label.path, root) for label in entry.labels]
    return [path for path in beside if path.is_file()]


def find_graph(graph: str, model_dir: str | Path | None = None) -> tuple[Path, CatalogEntry | None]:
    """Return the file that `graph` stands for, downloading a known graph once.

    Args:
        graph: a path that exists, else a name or alias of the catalogue.
        model_dir: the folder for downloads, laid out as `retrain.py --model_dir`, so that a folder
            it filled is used as it is; None: see `model_folder`.

    Returns:
        The path, and the entry if `graph` was a name of a catalogued graph. Of a catalogued
        checkpoint it is the archive's path.

    Raises:
        InputError: there is no such file or name, it cannot be downloaded, or what is there or
            arrives is not the published file.
    """
    path = Path(graph)
    if graph and path.exists():
        return path, None
    folder = model_folder(model_dir)
    if entry := find_entry(graph):
        return download.fetch(entry, folder), entry
    if path.name == graph and (checkpoint := find_checkpoint(graph)):
        return download.fetch(checkpoint, folder), None
    if path.name != graph or path.suffix in {".pb", ".pbtxt"}:
        raise InputError(f"No such file: {graph}")
    raise InputError(_unknown_name(graph))


def _unknown_name(name: str) -> str:
    spellings = [s for entry in entries().values() for s in (entry.name, *entry.aliases)]
    spellings += [s for entry in checkpoints().values() for s in entry.aliases or (entry.name,)]
    v1 = "mobilenet_v1_{1.0,0.75,0.50,0.25}_{224,192,160,128}"
    v2 = "mobilenet_v2_{1.4,1.3,1.0,0.75,0.5,0.35}_224"
    shown = [re.sub(r"mobilenet_(v1_)?[\d.]+_\d{3}", v1, spelling) for spelling in spellings]
    shown = [re.sub(r"mobilenet_v2_[\d.]+_224", v2, spelling) for spelling in shown]
    return (
        f"No file and no catalogue name {name!r}.{did_you_mean(name, spellings)} "
        f"Known names: {', '.join(dict.fromkeys(shown))}."
    )
