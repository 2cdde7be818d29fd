"""Checkpoints that are damaged, incomplete or hostile: one line, and never other values."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.checkpoints.crc32c import crc32c
from retrain_tools.sources.checkpoints.snappy import decompress
from retrain_tools.sources.kinds import Place

from .test_checkpoint_values import same, write, write_slices

ARRAYS = {
    "a": tf.random.stateless_normal([40, 7], [1, 2]),
    "b": tf.constant([b"text", b"another"]),
    "c": tf.constant(3, tf.int64),
}
V2_ENDS = "A V2 checkpoint takes its .index file and every .data file beside it; "
V1_ENDS = "A V1 checkpoint takes all of its files; "


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        checkpoint = Checkpoint(Place.of(path))
        for name in checkpoint.shapes:
            checkpoint.read(name)
    message = str(error.value)
    assert "\n" not in message
    start, end = f"The checkpoint {path} cannot be read: ", "download or copy them again."
    assert message.startswith(start)
    assert message.endswith(end)
    return message.removeprefix(start).removesuffix(end)


@pytest.mark.parametrize("v1", [False, True])
def test_bytes_changed_anywhere(v1: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "c", ARRAYS, v1).path
    files = [path] if v1 else [tmp_path / "c.index", tmp_path / "c.data-00000-of-00001"]
    chance = random.Random(7)
    for file in files:
        good = file.read_bytes()
        for _ in range(150):
            data = bytearray(good)
            place = chance.randrange(len(data))
            data[place] ^= 1 << chance.randrange(8)
            file.write_bytes(data)
            try:
                checkpoint = Checkpoint(Place.of(path))
                found = {name: checkpoint.read(name) for name in checkpoint.shapes}
            except InputError as error:
                assert "\n" not in str(error)
            else:
                assert all(same(found[name], value.numpy()) for name, value in ARRAYS.items())
        file.write_bytes(good)


@pytest.mark.parametrize("v1", [False, True])
def test_files_cut_off_anywhere(v1: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "c", ARRAYS, v1).path
    files = [path] if v1 else [tmp_path / "c.index", tmp_path / "c.data-00000-of-00001"]
    for file in files:
        good = file.read_bytes()
        for size in (0, 1, 47, 48, len(good) // 2, len(good) - 1):
            file.write_bytes(good[:size])
            assert refusal(path) == f"{file.name} is cut off. {V1_ENDS if v1 else V2_ENDS}"
        file.write_bytes(good)


def test_one_wrong_bit_in_the_data_of_one_array(tmp_path: Path) -> None:
    path = write(tmp_path / "c", ARRAYS).path
    data = tmp_path / "c.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    checkpoint = Checkpoint(Place.of(path))
    assert same(checkpoint.read("b"), ARRAYS["b"].numpy())
    assert refusal(path) == f"the checksum of the data of (40, 7) at byte 0 is wrong. {V2_ENDS}"


@pytest.mark.parametrize("v1", [False, True])
def test_a_file_of_several_that_is_missing(v1: bool, tmp_path: Path) -> None:
    whole = tf.random.stateless_normal([20000, 3], [3, 4])
    path = write_slices(tmp_path, whole, v1).path
    name = "m-00003-of-00006" if v1 else "m.data-00003-of-00006"
    (tmp_path / name).unlink()
    assert refusal(path) == f"{name} is missing. {V1_ENDS if v1 else V2_ENDS}"
    if v1:
        shutil.copy(tmp_path / "m-00000-of-00006", tmp_path / "m-00000-of-00007")
        assert refusal(path) == f"there are files of 00006 and of 00007. {V1_ENDS}"


# --- tables made by hand ---


def varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def masked(data: bytes) -> bytes:
    checksum = crc32c(data)
    turned = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return ((turned + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def entry(shared: int, key: bytes, value: bytes) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def block(*entries: bytes) -> bytes:
    return b"".join(entries) + bytes(4) + (1).to_bytes(4, "little")


def table(data: bytes, packed: bool = False, index: bytes | None = None) -> bytes:
    """A table of one block."""
    kind = b"\x01" if packed else b"\x00"
    body = data + kind + masked(data + kind)
    if index is None:
        index = block(entry(0, b"\xff", varint(0) + varint(len(data))))
    where = varint(len(body)) + varint(len(index))
    body += index + b"\x00" + masked(index + b"\x00")
    footer = (varint(0) + varint(0) + where).ljust(40, b"\x00")
    return body + footer + bytes.fromhex("57fb808b247547db")


def bundle(**changes: object) -> bytes:
    header = schema.BundleHeaderProto(num_shards=1)
    held = schema.BundleEntryProto(dtype=1, size=8)
    held.shape.dim.add(size=2)
    held.crc32c = int.from_bytes(masked(np.float32([1, 2]).tobytes()), "little")
    for name, value in changes.items():
        if name == "shape":
            held.shape.dim[0].size = value
        else:
            setattr(held, name, value)
    return block(
        entry(0, b"", header.SerializeToString()), entry(0, b"w", held.SerializeToString())
    )


def write_bundle(folder: Path, index: bytes) -> Path:
    (folder / "c.index").write_bytes(index)
    (folder / "c.data-00000-of-00001").write_bytes(np.float32([1, 2]).tobytes())
    return folder / "c"


def snappy(data: bytes) -> bytes:
    """Packed as google/snappy describes it, in pieces of both forms that are not copied."""
    head, tail = data[:70], data[70:]
    packed = varint(len(data)) + bytes([60 << 2, len(head) - 1]) + head
    for start in range(0, len(tail), 60):
        piece = tail[start : start + 60]
        packed += bytes([len(piece) - 1 << 2]) + piece
    return packed


def test_a_packed_index_as_tensorflow_1_1_wrote_it(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, table(snappy(bundle()), packed=True))
    theirs = tf.train.load_checkpoint(str(path))
    assert same(Checkpoint(Place.of(path)).read("w"), theirs.get_tensor("w"))


def test_snappy() -> None:
    """The examples of its description: copies with one, two and four bytes of distance."""
    xs = b"x" * 61
    assert decompress(varint(65) + bytes([60 << 2, 64]) + b"0123" + xs) == b"0123" + xs
    for copy in (
        bytes([1 | 3 << 2, 2]),
        bytes([2 | 6 << 2, 2, 0]),
        bytes([3 | 6 << 2, 2, 0, 0, 0]),
    ):
        assert decompress(varint(9) + bytes([1 << 2]) + b"ab" + copy) == b"ababababa"
    far = bytes([1 | 1 << 5 | 0 << 2, 44])  # 300 bytes back
    long = bytes(range(256)) + bytes(44)
    assert decompress(varint(304) + bytes([61 << 2, 43, 1]) + long + far) == long + long[:4]
    for wrong in (varint(9) + bytes([1 << 2]) + b"ab", varint(9) + bytes([1, 5]), varint(1 << 40)):
        with pytest.raises(ValueError):
            decompress(wrong)


def test_numbers_of_a_machine_that_writes_the_high_byte_first(tmp_path: Path) -> None:
    header = schema.BundleHeaderProto(num_shards=1, endianness=1)
    held = schema.BundleEntryProto(dtype=1, size=8)
    held.shape.dim.add(size=2)
    data = np.array([1, 2], ">f4").tobytes()
    held.crc32c = int.from_bytes(masked(data), "little")
    entries = (entry(0, b"", header.SerializeToString()), entry(0, b"w", held.SerializeToString()))
    path = write_bundle(tmp_path, table(block(*entries)))
    (tmp_path / "c.data-00000-of-00001").write_bytes(data)
    assert Checkpoint(Place.of(path)).read("w").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (table(bundle(shape=2**40)), "an array has another size than its shape says"),
        (table(bundle(shape=-1)), "it holds an array without a shape"),
        (table(bundle(dtype=7, shape=2**50)), "an array has another size than its shape says"),
        (table(bundle(offset=2**62)), "c.data-00000-of-00001 is cut off"),
        (table(bundle(shard_id=5)), "its index is damaged"),
        (table(bundle(dtype=21)), "its values are of type variant, which NumPy does not have"),
        (table(bundle(dtype=99)), "its values are of type ?, which NumPy does not have"),
        (table(block(entry(0, b"w", b"\x08\x01"))), "its index has no header"),
        (table(block(entry(0, b"", b"\xff"))), "its index is damaged"),
        (table(block(entry(5, b"w", b""))), "c.index holds what no checkpoint does"),
        (table(block(b"\x00\xff\xff\xff\xff\x07\x01w")), "c.index holds what no checkpoint does"),
        (table(b"\xff\xff\xff\xff"), "c.index holds what no checkpoint does"),
        (table(varint(1 << 60) + b"x", packed=True), "c.index holds what no checkpoint does"),
        (
            table(b"", index=block(entry(0, b"z", varint(2**60) + varint(5)))),
            "c.index is cut off",
        ),
        (table(b"", index=block(entry(0, b"z", b""))), "its index is damaged"),
        (
            table(bundle(), index=block(*[entry(0, b"z", varint(0) + varint(70))] * 999)),
            "c.index holds what no checkpoint does",
        ),
    ],
)
def test_claims_without_truth(index: bytes, words: str, tmp_path: Path) -> None:
    assert refusal(write_bundle(tmp_path, index)) == f"{words}. {V2_ENDS}"


def test_keys_without_end(tmp_path: Path) -> None:
    """Each shares a megabyte with the one before: small in the file, and large in memory."""
    name = b"n" * (1 << 20)
    entries = [entry(0, name, b""), *[entry(len(name), b"x", b"")] * 5000]
    path = write_bundle(tmp_path, table(block(*entries)))
    assert refusal(path) == f"c.index holds what no checkpoint does. {V2_ENDS}"


def test_crc32c() -> None:
    """The examples of RFC 3720, and long texts against the definition, bit by bit."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    chance = random.Random(3)
    for size in (4095, 4096, 4105, 33000, 70001):
        data = chance.randbytes(size)
        state = 0xFFFFFFFF
        for byte in data:
            state ^= byte
            for _ in range(8):
                state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
        assert crc32c(data) == state ^ 0xFFFFFFFF
