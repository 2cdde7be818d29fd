"""What kind of TensorFlow file something is, told from its content, without TensorFlow."""

from __future__ import annotations

import enum
import glob
import re
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from typing import NamedTuple

from retrain_tools.errors import InputError
from retrain_tools.files import json_of


class Kind(enum.Enum):
    """The kinds of file; the values are their names for people."""

    GRAPH_DEF = "GraphDef"
    META_GRAPH = "MetaGraph"
    CHECKPOINT = "checkpoint"
    SAVED_MODEL = "SavedModel"
    KERAS = "Keras model (.keras)"
    HDF5 = "Keras HDF5 file"
    TFLITE = "TensorFlow Lite model"
    TAR = "tar archive"
    ZIP = "zip archive"
    GZIP = "gzip file"
    FOLDER = "folder"


ARCHIVES = (Kind.TAR, Kind.ZIP, Kind.GZIP)


class Place(NamedTuple):
    """Where a file lies, and what messages call it: they differ for what an archive holds.

    Attributes:
        path: the file or folder on disk.
        named: the same as the user named it, `network.tgz/inside/frozen.pb`.
    """

    path: Path
    named: Path

    @classmethod
    def of(cls, path: str | Path | Place) -> Place:
        """Return the place of a file that is named by its own path; a place as it is."""
        return path if isinstance(path, Place) else cls(Path(path), Path(path))

    def __truediv__(self, name: str) -> Place:
        return Place(self.path / name, self.named / name)

    def with_name(self, name: str) -> Place:
        """Return the place of another name in the same folder."""
        return Place(self.path.with_name(name), self.named.with_name(name))

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        return Place(self.path.parent, self.named.parent)

    def __str__(self) -> str:
        return str(self.named)


# What reading a damaged, encrypted or unheard-of zip archive raises.
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, KeyError, OSError, RuntimeError)

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
# Magic numbers from the formats' own specifications. The footer is that of LevelDB's tables, which
# TensorFlow's checkpoints (V1 files and V2 `.index` files) end with.
_TABLE_FOOTER = bytes.fromhex("57fb808b247547db")
_GIT_LFS = b"version https://git-lfs"
_CHECKPOINT_PART = re.compile(r"(.+)\.(index|data-\d{5}-of-\d{5})")  # of version 2
# Of version 1; with ????? it is what stands for all of them in the file `checkpoint`.
_CHECKPOINT_SHARD = re.compile(r"(.+)-(\d{5}|\?{5})-of-\d{5}")
_TEXT_GRAPH = re.compile(rb"^\s*(#[^\n]*\n\s*)*(node|versions|version|library)\s*[{:]")
_TEXT_META_GRAPH = re.compile(rb"\s*(#[^\n]*\n\s*)*(meta_info_def|graph_def)\s*[{:]")
_TEXT_SAVED_MODEL = re.compile(
    rb"\s*(#[^\n]*\n\s*)*(saved_model_schema_version\s*:|meta_graphs\s*[{:])"
)
_OP_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_>.]*")
_KERAS_FILES = {"config.json", "metadata.json"}
_START = 4096

# What a file is that no reader takes, by its first bytes, and the way out.
_WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")
_FOREIGN = {
    (_GIT_LFS,): "is a git-lfs pointer, not the file itself; run `git lfs pull` where it came from",
    (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM"): (
        "is an image; pass it as an image and a .pb file as the graph"
    ),
    (b"BZh", b"\xfd7zXZ"): "is packed with bzip2 or xz; unpack it and pass the file inside",
    (b"7z\xbc\xaf",): "is a 7-Zip archive; unpack it and pass the file inside",
    (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"): (
        "is a Python pickle, which may run any program when read; it is never opened here"
    ),
}
_NONE_OF_THESE = (
    "is none of the kinds of file that can be opened: GraphDef, MetaGraph, checkpoint, "
    "SavedModel, Keras, TensorFlow Lite, or an archive of one"
)


def kind_of(place: str | Path | Place) -> Kind:
    """Tell what kind of file or folder something is.

    A few kilobytes are read, whatever the size of the file. A damaged file can still be told by its
    beginning; the reader of its kind says what is wrong with it.

    Raises:
        InputError: there is no such file, or it is none of these kinds (the message says what it
            is, and what to do).
    """
    place = Place.of(place)
    path = place.path
    if path.is_dir():
        return _folder_kind(place)
    if not path.exists():
        if checkpoint_files(path.with_name(checkpoint_name(path.name))):
            return Kind.CHECKPOINT
        raise InputError(f"No such file: {place}")
    if not path.is_file():
        raise InputError(f"{place} is neither a file nor a folder.")
    with path.open("rb") as file:
        start = file.read(_START)
        file.seek(-min(path.stat().st_size, len(_TABLE_FOOTER)), 2)
        end = file.read()
    kind = _kind_by_magic(path, start, end) or kind_by_message(start)
    if kind is not None:
        return kind
    reason = foreign_kind(start)
    if reason is None and path.suffix == ".ckpt":  # of version 1, and cut off before its footer
        return Kind.CHECKPOINT
    raise InputError(f"{place} {reason or _NONE_OF_THESE}.")


def foreign_kind(start: bytes) -> str | None:
    """Say what a file is that no reader takes, by its first bytes; None where nothing tells.

    Returns:
        A clause that completes "FILE …", with the way out.
    """
    if not start:
        return "is empty; download or copy it again"
    if start.lstrip().lower().startswith(_WEB_PAGE):
        return "is a web page saved by mistake; download the file itself"
    for beginnings, said in _FOREIGN.items():
        if start.startswith(beginnings):
            return said
    if b"onnx" in start[:64].lower():
        return "is an ONNX model; pass the TensorFlow model that it was made from"
    return None


def is_text_graph(start: bytes) -> bool:
    """Tell from the first kilobytes whether this is a text GraphDef."""
    return _TEXT_GRAPH.match(start) is not None


def checkpoint_name(file_name: str) -> str:
    """Return the name of the checkpoint that a file is of: `m.ckpt` for `m.ckpt-00000-of-00001`."""
    part = _CHECKPOINT_PART.fullmatch(file_name) or _CHECKPOINT_SHARD.fullmatch(file_name)
    return part[1] if part else file_name


def checkpoint_files(prefix: Path) -> list[Path]:
    """Return the files of the checkpoint of this name that are there, in a fixed order.

    Of version 2 these are `prefix.index` and its data files, of version 1 `prefix` itself or
    `prefix-00000-of-00002` and so on. Without an index there is none of version 2.
    """
    name = glob.escape(prefix.name)
    index = prefix.with_name(f"{prefix.name}.index")
    if index.is_file():
        return [index, *sorted(prefix.parent.glob(f"{name}.data-*"))]
    if prefix.is_file():
        return [prefix]
    shards = sorted(prefix.parent.glob(f"{name}-?????-of-?????"))
    return [file for file in shards if _CHECKPOINT_SHARD.fullmatch(file.name) and file.is_file()]


def _folder_kind(place: Place) -> Kind:
    names = {child.name for child in place.path.iterdir()}
    if names.intersection(SAVED_MODEL_FILES):
        return Kind.SAVED_MODEL
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return Kind.CHECKPOINT
    if names >= _KERAS_FILES:
        raise InputError(f"{place} is an unpacked .keras file; pack it again (zip) and pass that.")
    return Kind.FOLDER


def _kind_by_magic(path: Path, start: bytes, end: bytes) -> Kind | None:
    if path.name in SAVED_MODEL_FILES and not start.startswith(_GIT_LFS):
        return Kind.SAVED_MODEL if start else None
    is_part = end == _TABLE_FOOTER or _CHECKPOINT_PART.fullmatch(path.name) is not None
    if is_part or start.startswith(b"model_checkpoint_path"):
        return Kind.CHECKPOINT
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return Kind.HDF5
    if start[4:8] == b"TFL3":
        return Kind.TFLITE
    if start.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if start.startswith(b"\x1f\x8b"):
        return Kind.TAR if _is_tar(path) else Kind.GZIP
    if start[257:262] == b"ustar":
        return Kind.TAR
    return None


def _zip_kind(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            # Weights and assets may be missing; a zip of something else may have a config.json.
            if set(archive.namelist()) >= _KERAS_FILES:
                with archive.open("metadata.json") as file:
                    if "keras_version" in json_of(file.read(_START)):
                        return Kind.KERAS
    except (*ZIP_DAMAGE, ValueError, TypeError):
        return Kind.KERAS if path.suffix == ".keras" else Kind.ZIP
    return Kind.ZIP


def _is_tar(path: Path) -> bool:
    """Tell whether there is a tar archive in a gzip file; a damaged one goes by its name."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            return tar.next() is not None
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return path.name.endswith((".tar.gz", ".tgz"))


def kind_by_message(start: bytes) -> Kind | None:
    """Tell from its beginning which of TensorFlow's messages a file holds; None for none."""
    if is_text_graph(start):
        return Kind.GRAPH_DEF
    if _TEXT_META_GRAPH.match(start):
        return Kind.META_GRAPH
    if _TEXT_SAVED_MODEL.match(start):
        return Kind.SAVED_MODEL
    # SavedModel's field 1 is a small schema number, GraphDef's a node, MetaGraphDef's what it is.
    if re.match(rb"\x08[\x00-\x7f]\x12", start):
        return Kind.SAVED_MODEL
    fields = _fields(start)
    number, first = next(iter(fields.items()), (0, b""))
    if number == 1:
        if _OP_NAME.fullmatch(_fields(first).get(2, b"")):
            return Kind.GRAPH_DEF
        # MetaInfoDef: operators used (2), tags (4), TensorFlow's version (5)
        return Kind.META_GRAPH if _fields(first).keys() & {2, 4, 5} else None
    # Without a first part: functions or versions only, or a MetaGraph that says nothing of itself.
    nested = _fields(first)
    if number == 2 and _OP_NAME.fullmatch(_fields(nested.get(1, b"")).get(2, b"")):
        return Kind.META_GRAPH
    return None


def _fields(data: bytes) -> dict[int, bytes]:
    """Return the first of each length-delimited field of a message, as far as the data go."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        value, position = varint(data, position)
        if tag is not None and tag & 7 == 0:
            continue
        if tag is None or tag & 7 != 2 or not 1 <= tag >> 3 <= 100:
            return found
        end = position + (value or 0)
        found.setdefault(tag >> 3, data[position:end])
        position = end
    return found


def varint(data: bytes | bytearray, position: int) -> tuple[int | None, int]:
    """Read a protobuf number at a position: its value, None where it is cut off, and its end."""
    value = 0
    for shift in range(0, 70, 7):  # a number has at most ten bytes
        if position >= len(data):
            return None, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, position
