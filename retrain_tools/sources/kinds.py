"""Which kind of TensorFlow file something is, told from its content, without TensorFlow."""

from __future__ import annotations

import enum
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.graphdef.file_kind import TABLE_FOOTER, foreign_kind, is_text_graph


class Kind(enum.Enum):
    """The kinds of file, in words for people."""

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

# What reading a damaged, encrypted or unheard-of zip archive raises.
ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
)

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
_CHECKPOINT_PART = re.compile(r"(.+)\.(index|data-\d{5}-of-\d{5})")
_TEXT_META_GRAPH = re.compile(rb"\s*(#[^\n]*\n\s*)*(meta_info_def|graph_def)\s*[{:]")
_OP_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_>.]*")
_KERAS_FILES = {"config.json", "metadata.json"}
_START = 4096


def kind_of(path: str | Path) -> Kind:
    """Tell what kind of file or folder `path` is.

    A few kilobytes are read, whatever the size of the file. A damaged file can still be told by its
    beginning; the reader of its kind says what is wrong with it.

    Raises:
        InputError: there is no such file, or it is none of these kinds (the message says what it
            is, and what to do).
    """
    path = Path(path)
    if path.is_dir():
        return _folder_kind(path)
    if not path.exists():
        if path.with_name(f"{path.name}.index").is_file():
            return Kind.CHECKPOINT
        raise InputError(f"No such file: {path}")
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    start, end = _ends(path)
    kind = _kind_by_magic(path, start, end) or _kind_by_message(start)
    if kind is not None:
        return kind
    reason = foreign_kind(path) or _other_kind(start)
    raise InputError(f"{path} {reason}.")


def _ends(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        start = file.read(_START)
        file.seek(-min(path.stat().st_size, len(TABLE_FOOTER)), 2)
        return start, file.read()


def _folder_kind(path: Path) -> Kind:
    names = {child.name for child in path.iterdir()}
    if names.intersection(_SAVED_MODEL_FILES):
        return Kind.SAVED_MODEL
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return Kind.CHECKPOINT
    if names >= _KERAS_FILES:
        raise InputError(f"{path} is an unpacked .keras file; pack it again (zip) and pass that.")
    return Kind.FOLDER


def _kind_by_magic(path: Path, start: bytes, end: bytes) -> Kind | None:
    if path.name in _SAVED_MODEL_FILES and not start.startswith(b"version https://git-lfs"):
        return Kind.SAVED_MODEL if start else None
    if end == TABLE_FOOTER or _CHECKPOINT_PART.fullmatch(path.name):
        return Kind.CHECKPOINT
    if start.startswith(b"model_checkpoint_path"):
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
                    if "keras_version" in json.loads(file.read(_START)):
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


def _kind_by_message(start: bytes) -> Kind | None:
    if is_text_graph(start):
        return Kind.GRAPH_DEF
    if _TEXT_META_GRAPH.match(start):
        return Kind.META_GRAPH
    if b"saved_model_schema_version" in start[:200]:
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
        tag, position = _varint(data, position)
        if tag & 7 == 0:
            _, position = _varint(data, position)
            continue
        if tag & 7 != 2 or not 1 <= tag >> 3 <= 100:
            return found
        size, position = _varint(data, position)
        found.setdefault(tag >> 3, data[position : position + size])
        position += size
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a base-128 number that may be cut off by the end of the data."""
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, position


def _other_kind(start: bytes) -> str:
    if start.startswith(b"BZh") or start.startswith(b"\xfd7zXZ"):
        return "is packed with bzip2 or xz; unpack it and pass the file inside"
    if start.startswith(b"7z\xbc\xaf"):
        return "is a 7-Zip archive; unpack it and pass the file inside"
    if start.startswith(b"\x80") and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "is a Python pickle, which may run any program when read; it is never opened here"
    if start.startswith(b"ONNX") or b"onnx" in start[:64].lower():
        return "is an ONNX model; pass the TensorFlow model that it was made from"
    return (
        "is none of the kinds of file that can be opened: GraphDef, MetaGraph, checkpoint, "
        "SavedModel, Keras, TensorFlow Lite, or an archive of one"
    )
