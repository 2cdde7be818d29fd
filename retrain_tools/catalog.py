"""The catalogue of known graphs: what each one needs, and how to find or download its file."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import re
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import filelock
import platformdirs
from tqdm import tqdm

from retrain_tools.catalog_entry import CatalogEntry, Member, read_entry, stays_inside
from retrain_tools.errors import InputError, did_you_mean

log = logging.getLogger(__name__)

_NETWORK_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes


def entries() -> dict[str, CatalogEntry]:
    """Return the known graphs by name, those of the folder RETRAIN_TOOLS_CATALOG included.

    An entry of that folder replaces a published one of the same name.

    Raises:
        InputError: that folder is missing, or a file in it breaks a rule of the catalogue.
    """
    package = Path(__file__).resolve().parent
    installed, checkout = package / "graphs", package.parent / "graphs"
    folders = [installed if installed.is_dir() else checkout]
    if own := os.environ.get("RETRAIN_TOOLS_CATALOG"):
        folders.append(Path(own).expanduser())
        if not folders[-1].is_dir():
            raise InputError(f"RETRAIN_TOOLS_CATALOG names no folder: {own}")
    files = [file for folder in folders for file in sorted(folder.glob("*.toml"))]
    return {file.stem: read_entry(file) for file in files}


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


def _named(name: str, catalog: Mapping[str, CatalogEntry]) -> CatalogEntry | None:
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
        if _node(entry.pixel_input) in node_names
        and _node(entry.bottleneck) in node_names
        and image_size in (None, entry.image_size)
    ]
    uses = {(e.pixel_input, e.mean, e.std, e.bottleneck, e.depth, e.pooling) for e in matches}
    return matches[0] if len(uses) == 1 else None


def _node(tensor_name: str) -> str:
    return tensor_name.rpartition(":")[0]


def default_model_dir() -> Path:
    """Return the folder for downloads: RETRAIN_TOOLS_HOME, else one in the user's cache."""
    if home := os.environ.get("RETRAIN_TOOLS_HOME"):
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
            it filled is used as it is; None for `default_model_dir()`.

    Returns:
        The path, and the entry if `graph` was a name of the catalogue.

    Raises:
        InputError: there is no such file or name, it cannot be downloaded, or what is there or
            arrives is not the published file.
    """
    path = Path(graph)
    if graph and path.exists():
        return path, None
    entry = find_entry(graph)
    if entry is None:
        if path.name != graph or path.suffix in {".pb", ".pbtxt"}:
            raise InputError(f"No such file: {graph}")
        raise InputError(_unknown_name(graph, entries()))
    folder = default_model_dir() if model_dir is None else Path(model_dir).expanduser()
    if not _is_present(entry, folder):
        _fetch(entry, folder)
    return folder / entry.graph.path, entry


def _unknown_name(name: str, catalog: Mapping[str, CatalogEntry]) -> str:
    spellings = [s for entry in catalog.values() for s in (entry.name, *entry.aliases)]
    family = "mobilenet_v1_{1.0,0.75,0.50,0.25}_{224,192,160,128}"
    shown = [re.sub(r"mobilenet_(v1_)?[\d.]+_\d{3}", family, spelling) for spelling in spellings]
    return (
        f"No file and no catalogue name {name!r}.{did_you_mean(name, spellings)} "
        f"Known names: {', '.join(dict.fromkeys(shown))}."
    )


def _is_present(entry: CatalogEntry, folder: Path) -> bool:
    path, expected = folder / entry.graph.path, entry.graph.bytes
    if not path.exists():
        return False
    actual = path.stat().st_size
    if expected not in (None, actual):
        raise InputError(
            f"{path} is not the published {entry.name}: expected {expected} bytes, got {actual}. "
            "Delete it to fetch it again."
        )
    return True


def _fetch(entry: CatalogEntry, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f".{entry.archive}.lock"):
        if _is_present(entry, folder):  # another process was faster
            return
        kept, part = folder / entry.archive, folder / f"{entry.archive}.part"
        if kept.exists():  # retrain.py left its archives there
            try:
                _extract(entry, kept, folder)
            except InputError as error:
                raise InputError(f"{error} Delete {kept} to fetch it again.") from error
            return
        _download(entry, part)
        try:
            _extract(entry, part, folder)
        except InputError as error:
            part.unlink()
            raise InputError(f"{error} The download was deleted.") from error
        part.unlink()


def _download(entry: CatalogEntry, part: Path) -> None:
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    # The catalogue takes http and https only, hence the two noqa.
    request = urllib.request.Request(entry.url, headers=headers)  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_NETWORK_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise _unreachable(entry, f"HTTP {error.code} {error.reason}") from error
        if error.headers.get("Content-Range") == f"bytes */{start}" or start == entry.archive_bytes:
            return  # nothing is missing
        part.unlink()
        _download(entry, part)
        return
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(entry, f"{getattr(error, 'reason', error)}") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server sends everything again
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if not sys.stderr.isatty():
            log.info("Downloading %s (%s bytes) to %s", entry.url, total or "unknown", part.parent)
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(
                total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None
            ) as bar,
        ):
            while chunk := _read(entry, response):
                file.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size < total:
        reason = f"the connection broke after {size} of {total} bytes; run again to resume"
        raise _unreachable(entry, reason)


def _read(entry: CatalogEntry, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(entry, f"{error}; run again to resume") from error


def _unreachable(entry: CatalogEntry, reason: str) -> InputError:
    size = f" ({entry.graph.bytes} bytes)" if entry.graph.bytes else ""
    file_name = PurePosixPath(entry.graph.path).name
    return InputError(
        f"Cannot download {entry.url}: {reason}. Get {entry.graph.path}{size} from elsewhere and "
        f"pass it: --graph=/path/to/{file_name}"
    )


def _extract(entry: CatalogEntry, archive: Path, folder: Path) -> None:
    with archive.open("rb") as file:
        head = file.read(40)
    if not head.startswith(b"\x1f\x8b"):
        raise InputError(
            f"{entry.url} did not give a gzip archive: {archive} begins with {head!r}. "
            "A proxy or a login page may have answered instead."
        )
    _check(archive, entry.archive_bytes, entry.archive_sha256)
    # The graph comes last: where it is, the labels are.
    wanted = (*entry.labels, entry.graph)
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=folder) as scratch:
        try:
            with gzip.open(archive) as stream:
                stream.seek(0, os.SEEK_END)  # reads to the checksum at the end, which tar does not
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    _extract_members(tar, archive, [member.path for member in wanted], scratch)
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{archive} is damaged or cut short: {error}.") from error
        for member in wanted:
            _check(Path(scratch, member.path), member.bytes, member.sha256)
        for member in wanted:
            target = folder / member.path
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(scratch, member.path).replace(target)


def _extract_members(tar: tarfile.TarFile, archive: Path, paths: list[str], target: str) -> None:
    found = {info.name.removeprefix("./"): info for info in tar}
    for name in found:
        if not stays_inside(name):
            raise InputError(f"{archive} holds {name!r}, which would lie outside its folder.")
    for path in paths:
        if path not in found:
            raise InputError(f"{archive} holds no {path!r}.")
        if not found[path].isreg():
            raise InputError(f"{path!r} in {archive} is a link or a folder, not a file.")
        tar.extract(found[path], target, filter="data")


def _check(path: Path, size: int | None, sha256: str | None) -> None:
    actual_size = path.stat().st_size
    if size not in (None, actual_size):
        raise InputError(f"{path.name}: expected {size} bytes, got {actual_size}.")
    if sha256 is None:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise InputError(f"{path.name}: expected SHA-256 {sha256}, got {actual}.")
