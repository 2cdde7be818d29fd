"""A pickle of features is read without running it; hostile ones are refused, and bounded."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.features.stores.safe_pickle import RefusedError, read_pickle

ARRAYS = {
    "a/é.jpg": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i2"),
    "half": np.ones(2, np.float16),
    "empty": np.zeros((0, 3)),
    "every other": np.arange(6)[::2],
    "scalar": np.float32(2.5),
    "names": np.array(["x", "ÿz"]),
    "read-only": np.frombuffer(b"\0" * 8, np.float64),
}
# By Python 2.7 and NumPy 1.16, written by hand: pickle.dumps({'a\xc3\xa9.jpg': array([1., 2.],
# dtype=float32)}, 0) and the same at protocol 2.
PYTHON_2 = (
    b"(dp0\nS'a\\xc3\\xa9.jpg'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n"
    b"(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\n"
    b"Rp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\np15\n"
    b"tp16\nbs.",
    b"\x80\x02}q\x00U\x07a\xc3\xa9.jpgq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\n"
    b"ndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01"
    b"\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?"
    b"\x00\x00\x00@tbs.",
)


def read(data: bytes, folder: Path):
    path = folder / "f.pkl"
    path.write_bytes(data)
    return read_pickle(path)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_come_back(protocol, tmp_path):
    check(pickle.dumps(ARRAYS, protocol), tmp_path)


@pytest.mark.parametrize("protocol", range(4))  # later ones say how long a name is
def test_arrays_of_numpy_1_and_2_come_back(protocol, tmp_path):
    data = pickle.dumps(ARRAYS, protocol)
    by_1 = data.replace(b"numpy._core.", b"numpy.core.")
    by_2 = by_1.replace(b"numpy.core.", b"numpy._core.")
    assert by_1 != by_2
    check(by_1, tmp_path)
    check(by_2, tmp_path)


def check(data: bytes, tmp_path: Path) -> None:
    found = read(data, tmp_path)
    assert list(found) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype


@pytest.mark.parametrize("data", PYTHON_2)
def test_pickles_of_python_2(data, tmp_path):
    [(name, array)] = read(data, tmp_path).items()
    assert name.decode() == "aé.jpg"
    np.testing.assert_array_equal(array, np.array([1, 2], np.float32))


def test_plain_containers_and_numbers_come_back(tmp_path):
    value = {"a": [1.5, 2, True, None], "b": {"c": [[1, 2], [3, 4]]}, 7: "text", "d": (b"x", "y")}
    assert read(pickle.dumps(value), tmp_path) == value | {"d": [b"x", "y"]}


def stack_global(module: str, name: str, *arguments: bytes) -> bytes:
    names = b"".join(b"\x8c" + bytes([len(n)]) + n.encode() for n in (module, name))
    return b"\x80\x04" + names + b"\x93(" + b"".join(arguments) + b"tR."


class _Runs:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"cos\nsystem\n(S'touch ran'\ntR.", "os.system"),
        (b"cposix\nsystem\n(S'touch ran'\ntR.", "posix.system"),
        (pickle.dumps(_Runs(os.system, "touch ran")), "posix.system"),
        (pickle.dumps(_Runs(eval, "open('ran', 'w')")), "builtins.eval"),
        (b"c__builtin__\neval\n(S'open(\"ran\", \"w\")'\ntR.", "__builtin__.eval"),
        (b"(S'touch ran'\nios\nsystem\n.", "os.system"),
        (stack_global("os", "system", b"\x8c\x09touch ran"), "os.system"),
        (stack_global("builtins", "getattr", b"\x8c\x01a\x8c\x01b"), "builtins.getattr"),
        (stack_global("numpy", "ndarray.__class__.__base__"), "numpy.ndarray.__class__.__base__"),
        (stack_global("numpy._core.multiarray", "os.system"), "numpy._core.multiarray.os.system"),
        (pickle.dumps(np.load), "numpy.load"),
        (stack_global("numpy.testing._private.utils", "runstring"),
         "numpy.testing._private.utils.runstring"),
        (stack_global("numpy", "fromfile", b"\x8c\x0b/etc/passwd"), "numpy.fromfile"),
        (stack_global("numpy", "memmap", b"\x8c\x0b/etc/passwd"), "numpy.memmap"),
        (stack_global("codecs", "encode", b"\x8c\x01a"), "codecs.encode"),
        (stack_global("numpy", "matrix"), "numpy.matrix"),
        (stack_global("a\nb\x1b[31m", "c"), r"a\nb\x1b[31m.c"),
    ],
)  # fmt: skip
def test_what_else_is_named_is_refused_by_name_and_not_run(data, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError) as error:
        read(data, tmp_path)
    assert str(error.value) == f"names '{named}', which is no part of features"
    assert not (tmp_path / "ran").exists()


class _Own:
    pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pickle.dumps({1, 2}), "makes an object that is no part of features"),
        (b"\x80\x02\x82\x01.", "makes an object that is no part of features"),
        (b"Pname\n.", "makes an object that is no part of features"),
        (pickle.dumps(np.array([{}, 1], object)),
         "holds an array of Python objects, not of numbers"),
        (pickle.dumps(np.zeros(2, "M8[s]")), "holds an array of type 'M8', not of numbers"),
        (pickle.dumps(np.zeros(2, [("a", "f4")])), "holds an array of type 'V4', not of numbers"),
        (pickle.dumps([[[[[[1]]]]]]), "is nested deeper than features are"),
        (pickle.dumps(2j), "names 'builtins.complex', which is no part of features"),
        (b"cnumpy\ndtype\n.", "holds what is no part of features"),
    ],
)  # fmt: skip
def test_other_things_are_refused_with_the_reason(data, reason, tmp_path):
    with pytest.raises(RefusedError) as error:
        read(data, tmp_path)
    assert str(error.value) == reason


def test_damage_is_told_wherever_a_file_is_cut_off(tmp_path):
    data = pickle.dumps(ARRAYS)
    for end in [*range(0, len(data) - 1, 7), len(data) - 1]:
        with pytest.raises(ValueError, match=r"^a damaged or cut-off pickle$"):
            read(data[:end], tmp_path)
    with pytest.raises(ValueError, match=r"^a damaged or cut-off pickle$"):
        read(b"no pickle at all", tmp_path)


def test_noise_never_ends_in_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for protocol in (0, 2, 5):
        sound = pickle.dumps(ARRAYS, protocol)
        for _ in range(30):
            data = bytearray(sound)
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(256)
            with contextlib.suppress(ValueError):
                read(bytes(data), tmp_path)


def reconstructed(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + shape + b"cnumpy\ndtype\nX" + struct.pack("<i", len(dtype)) + dtype
        + b"K\x00K\x01\x87R\x89" + content + b"tb."
    )  # fmt: skip


TERA = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
BOMBS = {
    "an array of a terabyte without one": reconstructed(TERA + b"\x85", b"f4", b"C\x04\0\0\0\0"),
    "numpy.ndarray of a terabyte": stack_global("numpy", "ndarray", TERA + b"\x85", b"\x8c\x02f4"),
    "a shape below nothing": reconstructed(b"J\xff\xff\xff\xff\x85", b"f4", b"C\0"),
    "bytes of a number": stack_global("builtins", "bytes", TERA),
    "bytearray of a number": stack_global("builtins", "bytearray", TERA),
    "a list of a text": stack_global("builtins", "list", b"\x8c\x03abc"),
    "a memo of four billion places": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text of a terabyte": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"abc.",
    "a byte array of a terabyte": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"abc.",
    "a frame of a terabyte": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
    "an integer of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a key of a million levels": b"\x80\x02}N" + b"\x85" * 1_000_000 + b"Ns.",
    "lists in lists, named over and over": (
        b"\x80\x02" + b"]q\x00(" + b"N" * 1000 + b"e0"
        + b"".join(b"]q" + bytes([n]) + b"(" + (b"h" + bytes([n - 1])) * 1000 + b"e0"
                   for n in range(1, 4)) + b"h\x03."
    ),
    "an array named over and over": (
        pickle.dumps(np.zeros(1_000_000, np.float32), 2)[:-1] + b"q\xff0]("
        + b"h\xff" * 300_000 + b"e."
    ),
    "bytes made over and over": (
        b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<i", 100_000) + b"a" * 100_000
        + b"\x85q\x01" + b"]2" + b"h\x00h\x01R" * 100_000 + b"."
    ),
}  # fmt: skip
HARMLESS = ("a memo of four billion places", "a frame of a terabyte")


def test_bombs_take_neither_memory_nor_time(tmp_path):
    """In a process that may have 1.5 GB and 60 seconds; each is refused in one line."""
    for number, data in enumerate(BOMBS.values()):
        (tmp_path / f"{number}.pkl").write_bytes(data)
    code = (
        "import sys, pathlib, time\n"
        "from retrain_tools.features.stores.safe_pickle import read_pickle\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        print('read', read_pickle(pathlib.Path(path)))\n"
        "    except ValueError as error:\n        print(error)\n"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    paths = [str(tmp_path / f"{number}.pkl") for number in range(len(BOMBS))]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], preexec_fn=limit, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    said = dict(zip(BOMBS, done.stdout.splitlines(), strict=False))
    assert done.returncode == 0, (said, done.stderr[-500:])
    for name in HARMLESS:
        assert said.pop(name) == "read None"
    for name, line in said.items():
        assert line.startswith(
            ("a damaged or cut-off pickle", "holds the same parts", "its ")
        ), (name, line)  # fmt: skip
    assert len(said) == len(BOMBS) - len(HARMLESS)


def test_reading_is_not_unpickling(tmp_path):
    """What Python's own unpickler would make of a class of ours is never made."""
    buffer = io.BytesIO()
    pickle.Pickler(buffer, 2).dump(_Own())
    with pytest.raises(RefusedError, match=r"copy_reg._reconstructor|test_safe_pickle._Own"):
        read(buffer.getvalue(), tmp_path)
