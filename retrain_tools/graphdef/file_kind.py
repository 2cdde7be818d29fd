"""What a file is, told from its content: a GraphDef or one of the things mistaken for one."""

from __future__ import annotations

import re
from pathlib import Path

# Magic numbers from the formats' own specifications; the last one is LevelDB's table footer, which
# TensorFlow's checkpoints (V1 files and V2 `.index` files) end with.
TABLE_FOOTER = bytes.fromhex("57fb808b247547db")
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM")
OPEN_IT = "not a GraphDef; retrain_tools.load opens it"
"""What to do with the other kinds of networks, where only a GraphDef will do."""
_TEXT_GRAPH = re.compile(rb"^\s*(#[^\n]*\n\s*)*(node|versions|version|library)\s*[{:]")
_MAX_FILE_BYTES = 2**31 - 1  # a protobuf message cannot be larger


def foreign_kind(path: Path) -> str | None:
    """Say what `path` is when its first and last bytes show that it is no GraphDef.

    Returns:
        A clause that completes "FILE …", with the way out, or None: it may be a GraphDef.
    """
    if path.is_dir():
        return _directory_kind(path)
    size = path.stat().st_size
    if size == 0:
        return "is empty; download or copy it again"
    if size > _MAX_FILE_BYTES:
        return f"has {size:,} bytes; a GraphDef cannot have more than {_MAX_FILE_BYTES:,}"
    with path.open("rb") as file:
        start = file.read(1024)
        file.seek(-min(size, 8), 2)
        end = file.read()
    return _kind_by_start(start) or _checkpoint_kind(path, end)


def _directory_kind(path: Path) -> str:
    names = {child.name for child in path.iterdir()}
    if names & {"saved_model.pb", "saved_model.pbtxt"}:
        return f"is a SavedModel folder, {OPEN_IT}"
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return f"is a checkpoint folder, {OPEN_IT}"
    graphs = sorted(name for name in names if name.endswith((".pb", ".pbtxt")))
    inside = f"; it holds {', '.join(graphs)}" if graphs else ""
    return f"is a folder, not a GraphDef file{inside}"


def _kind_by_start(start: bytes) -> str | None:
    text = start.lstrip()[:200].lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself; run `git lfs pull` where it came from"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page saved by mistake; download the file itself"
    if start.startswith(b"\x1f\x8b"):
        return f"is a gzip archive, {OPEN_IT}"
    if start.startswith(b"PK\x03\x04"):
        return f"is a zip archive (a .keras file is one too), {OPEN_IT}"
    if start.startswith(b"\x89HDF\r\n"):
        return f"is an HDF5 file (Keras .h5), {OPEN_IT}"
    if start[4:8] == b"TFL3":
        return f"is a TensorFlow Lite model, {OPEN_IT}"
    if start.startswith(_IMAGE_STARTS):
        return "is an image; pass it as an image and a .pb file as the graph"
    if start.startswith(b"model_checkpoint_path"):
        return f"only names the newest checkpoint of its folder: {OPEN_IT}"
    if b"saved_model_schema_version" in start:
        return f"is a SavedModel in text form, {OPEN_IT}"
    # SavedModel's field 1 is a small schema number, GraphDef's field 1 is a node.
    if re.match(rb"\x08[\x00-\x7f]\x12", start):
        return f"is the saved_model.pb of a SavedModel, {OPEN_IT}"
    return None


def _checkpoint_kind(path: Path, end: bytes) -> str | None:
    if end == TABLE_FOOTER:
        return f"is a checkpoint, {OPEN_IT}"
    if re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return f"is a part of a checkpoint, {OPEN_IT}"
    return None


def is_text_graph(start: bytes) -> bool:
    """Tell from the first kilobytes whether this is a text GraphDef."""
    return _TEXT_GRAPH.match(start) is not None


def truncation(data: bytes) -> str | None:
    """Walk the top-level protobuf fields of `data` and say where a cut-off file ends.

    Returns:
        A clause that completes "FILE …", or None when the top level is not merely cut off.
    """
    position = fields = 0
    while position < len(data):
        tag, after_tag = _varint(data, position)
        if tag is None or tag & 7 not in (0, 2) or not 1 <= tag >> 3 <= 5:
            return _cut_off(fields, len(data), None) if tag is None and fields else None
        value, after_value = _varint(data, after_tag)
        if value is None:
            return _cut_off(fields, len(data), None) if fields else None
        position = after_value + (value if tag & 7 == 2 else 0)
        if position > len(data):
            return _cut_off(fields, len(data), position) if fields else None
        fields += 1
    return None


def _cut_off(fields: int, size: int, needed: int | None) -> str:
    least = f" of at least {needed:,}" if needed else ""
    return (
        f"is cut off: it ends after {fields} complete nodes ({size:,} bytes{least}); "
        "download or copy it again"
    )


def _varint(data: bytes, position: int) -> tuple[int | None, int]:
    """Read a base-128 number; (None, position) where the data end inside it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return None, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
