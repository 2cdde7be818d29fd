"""Changes inside of what is packed or has checksums: opened, changed, closed again as it was."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from fuzzing.raw_bytes import changed_bytes
from retrain_tools.features.row_index import Block, block_bytes, read_blocks
from retrain_tools.sources.checkpoints.crc32c import crc32c
from retrain_tools.sources.checkpoints.table import DamageError, Table
from retrain_tools.sources.kinds import ZIP_DAMAGE

Change = Callable[[str, bytes, Random], bytes]
"""Changes the content of a member by its name."""

_NAMES = ("", ".", "..", "../x", "/x", "a/../../x", "x" * 300, "a\\..\\x", "a\0b", "a/", "\udcff",
          "config.json", "metadata.json", "images.npy", "record.npy")  # fmt: skip
_RECORDS = ("[('a', '<f4'), ('b', '|O')]", "[('a', '<f4', (2, 3))]", "None", "[]")
_MAGIC = bytes.fromhex("57fb808b247547db")


def changed_zip(data: bytes, chance: Random, change: Change) -> bytes:
    """Return a zip archive one of whose members has changed, in content or name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (*ZIP_DAMAGE, ValueError):
        return changed_bytes(data, chance)
    made = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(made, "w", chance.choice(methods)) as archive:
        for name, content in _changed_members(members, chance, change):
            archive.writestr(zipfile.ZipInfo(name.replace("\udcff", "?")), content)
    return made.getvalue()


def _changed_members(
    members: list[tuple[str, bytes]], chance: Random, change: Change
) -> list[tuple[str, bytes]]:
    if not members:
        return members
    at = chance.randrange(len(members))
    name, content = members[at]
    match chance.randrange(12):
        case 0:
            del members[at]
        case 1:
            members[at] = (chance.choice(_NAMES), content)
        case 2:
            members.append((name, chance.choice(members)[1]))
        case 3:
            members[at] = (name, chance.choice(members)[1])
        case _:
            members[at] = (name, change(name, content, chance))
    return members


def changed_tar(data: bytes, chance: Random, change: Change) -> bytes:
    """Return a packed tar archive one of whose members has changed: content, name, type or link."""
    made = io.BytesIO()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
            members = [(info, _content(tar, info)) for info in tar]
        at = chance.randrange(len(members))
        with tarfile.open(fileobj=made, mode="w:gz") as tar:
            for index, (info, content) in enumerate(members):
                if index == at:
                    content = _changed_member(info, content, chance, change)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, IndexError):
        return changed_bytes(data, chance)
    return made.getvalue()


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isfile() else None
    return b"" if file is None else file.read()


def _changed_member(info: tarfile.TarInfo, content: bytes, chance: Random, change: Change) -> bytes:
    match chance.randrange(8):
        case 0:
            info.name = chance.choice(_NAMES).replace("\0", "") or "x"
        case 1:
            kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
                     tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"Z")  # fmt: skip
            info.type = chance.choice(kinds)
            info.linkname = chance.choice(("/etc/passwd", "../../x", info.name, ".", ""))
            return b""
        case 2:
            info.pax_headers = {chance.choice(("path", "size", "GNU.sparse.size", "mtime")): "-1"}
        case 3:
            info.mode = chance.choice((0, 0o7777, 0o200))
        case _:
            return change(info.name, content, chance)
    return content


def changed_gzip(data: bytes, chance: Random, change: Change, name: str) -> bytes:
    """Return a packed file whose content has changed."""
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return changed_bytes(data, chance)
    return gzip.compress(change(name, content, chance), 1)


def changed_npy(data: bytes, chance: Random) -> bytes:
    """Return an .npy file with another header: shape, type, order, or a length that lies."""
    if len(data) < 12 or chance.random() < 0.3:
        return changed_bytes(data, chance)
    size = int.from_bytes(data[8:10], "little")
    values = data[10 + size :]
    types = ("<f4", ">f8", "<f2", "|O", "<U10", "|S0", "<U0", "|V16", "|u1", "<M8[ns]", "<c16", "f",
             "<U999999999", "|V0", "?", "<f4,<f4", "x", "<i8", "|S4000000000")  # fmt: skip
    shapes = ("()", "(0,)", "(-1,)", "(3,)", "(2, 5)", "(4611686018427387904, 4)", "(2**40,)",
              "(1,)*40", "[2]", "(2.0,)", "(True, 3)", "(99999999999999999999999,)", "(0, 10**18)",
              "(" * 300 + ")" * 300, "(1, 0, 5)", "(1,)" * 3)  # fmt: skip
    descr = repr(chance.choice(types))
    if chance.random() < 0.15:
        descr = chance.choice(_RECORDS)
    order = chance.choice(("False", "False", "True", "1", "None"))
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {chance.choice(shapes)}, }}"
    if chance.random() < 0.1:
        header = chance.choice(("", "{}", "1", "__import__('os').mkdir('x')", header[:-9]))
    text = header.encode().ljust(118 - 10) + b"\n"
    length = chance.choice((len(text), len(text), len(text), 0, 65535))
    version = chance.choice((b"\x01\0", b"\x01\0", b"\x01\0", b"\x02\0", b"\x03\0", b"\x09\0"))
    width = "<H" if version[0] == 1 else "<I"
    return data[:6] + version + struct.pack(width, length) + text + values


def changed_index(data: bytes, chance: Random) -> bytes:
    """Return the index of a matrix, or a packed copy with one at its end, with sound checksums."""
    start = data.rfind(b"RTi1") if chance.random() < 0.9 else -1
    depth, blocks, end = read_blocks(data[start:]) if start >= 0 else (None, [], 0)
    if not blocks or depth is None:
        return changed_bytes(data, chance)
    names, rows, *rest = (array.copy() if hasattr(array, "copy") else array for array in blocks[0])
    number = chance.choice((-1, 0, 1, 2**31, 2**62, -(2**63), len(names)))
    match chance.randrange(5):
        case 0 if len(rows):
            rows[chance.randrange(len(rows))] = number
        case 1 if names:
            names[chance.randrange(len(names))] = chance.choice(_NAMES).replace("\0", "")
        case 2:
            depth = chance.choice((0, 1, 2**20, 2**32 - 1))
        case 3 if names:  # more or fewer names than rows
            names[0] = chance.choice(("a\0b", ""))
        case _:
            for array in rest:
                array[...] = number
    made = block_bytes(depth, Block(names, rows, *rest))
    tail = data[start + end :]
    if len(tail) == 8:  # of a packed copy: how long the index is
        tail = struct.pack("<Q", chance.choice((len(made), len(made), 0, 2**63, len(data))))
    return data[:start] + made + tail


def table_items(data: bytes, scratch: Any) -> list[tuple[bytes, bytes]] | None:
    """Return the keys and values of a LevelDB table; None of one that is damaged.

    `scratch` is a path that may be written.
    """
    scratch.write_bytes(data)
    try:
        return list(Table(scratch).items())
    except (DamageError, OSError):
        return None


def table_bytes(items: list[tuple[bytes, bytes]]) -> bytes:
    """Return a table of these items, in one block, with sound checksums."""
    block = _block(items)
    made = block + _trailer(block)
    index = _block([(items[-1][0] if items else b"", _varint(0) + _varint(len(block)))])
    place = _varint(len(made)) + _varint(len(index))
    made += index + _trailer(index)
    return made + (_varint(0) + _varint(0) + place).ljust(40, b"\0") + _MAGIC


def _block(items: list[tuple[bytes, bytes]]) -> bytes:
    entries = [
        _varint(0) + _varint(len(key)) + _varint(len(value)) + key + value for key, value in items
    ]
    return b"".join(entries) + struct.pack("<II", 0, 1)


def _trailer(block: bytes) -> bytes:
    sum_ = crc32c(block + b"\0")
    masked = ((sum_ >> 15 | sum_ << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return b"\0" + struct.pack("<I", masked)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])
