"""Checkpoints of both versions read without TensorFlow: the arrays that TensorFlow wrote."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.dtypes import dtype_names
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.kinds import Place

SHAPES = {"scalar": (), "matrix": (3, 4), "empty": (0, 5)}
# TensorFlow makes no values of these, or has none.
WITHOUT_VALUES = ("resource", "variant", "int2", "uint2", "float4_e2m1fn")
NOT_IN_VERSION_1 = ("bfloat16", "float8", "int4", "uint4", "uint32", "uint64", "qint16", "quint16")
QUANTIZED = {
    "qint8": tf.int8,
    "quint8": tf.uint8,
    "qint16": tf.int16,
    "quint16": tf.uint16,
    "qint32": tf.int32,
}


def drawn(dtype: str, shape: tuple[int, ...]) -> Any:
    chance = np.random.default_rng(len(dtype))
    if dtype == "string":
        texts = [b"a\0", b"", b"\xff" * 300, "ü".encode()] * 3
        return tf.constant(np.array(texts[: math.prod(shape)], object).reshape(shape))
    numbers = tf.constant(chance.integers(0, 100, shape).astype(np.int8))
    if dtype in QUANTIZED:
        return tf.bitcast(tf.cast(numbers, QUANTIZED[dtype]), tf.dtypes.as_dtype(dtype))
    if dtype.startswith("complex"):
        return tf.cast(numbers, dtype) * tf.constant(1 - 2j, dtype)
    return tf.cast(numbers, dtype)


def known_types() -> list[str]:
    return [n for n in dtype_names() if n not in WITHOUT_VALUES and hasattr(tf.dtypes, n)]


def write(path: Path, arrays: Mapping[str, Any], v1: bool = False, parts: Any = "") -> Place:
    """Write arrays, each whole or with what `parts` says of it: `10 4 0,5:-`."""
    names = list(arrays)
    said = [parts if isinstance(parts, str) else parts[name] for name in names]
    values = list(arrays.values())
    if v1:
        tf.raw_ops.SaveSlices(
            filename=str(path), tensor_names=names, shapes_and_slices=said, data=values
        )
    else:
        tf.raw_ops.SaveV2(
            prefix=str(path), tensor_names=names, shape_and_slices=said, tensors=values
        )
    return Place.of(path)


def merge(parts: list[Place], path: Path) -> Place:
    prefixes = [str(part.path) for part in parts]
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(path))
    return Place.of(path)


def same(mine: Any, theirs: Any) -> bool:
    theirs = np.array(theirs, object) if isinstance(theirs, bytes) else np.asarray(theirs)
    if mine.dtype.hasobject:
        return bool(mine.shape == theirs.shape and np.array_equal(mine, theirs))
    return bool(mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes())


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("dtype", known_types())
def test_every_type_in_every_shape(dtype: str, v1: bool, tmp_path: Path) -> None:
    if v1 and dtype.startswith(NOT_IN_VERSION_1):
        pytest.skip(f"TensorFlow writes no {dtype} into checkpoints of version 1")
    arrays = {name: drawn(dtype, shape) for name, shape in SHAPES.items()}
    checkpoint = Checkpoint(write(tmp_path / "c", arrays, v1))
    theirs = tf.train.load_checkpoint(str(tmp_path / "c"))
    assert checkpoint.shapes == theirs.get_variable_to_shape_map() | SHAPES
    assert set(checkpoint.dtypes.values()) == {dtype}
    assert theirs.get_variable_to_dtype_map() == dict.fromkeys(SHAPES, tf.dtypes.as_dtype(dtype))
    for name, value in arrays.items():
        mine = checkpoint.read(name)
        assert same(mine, value.numpy())
        assert mine.dtype.names == ((dtype,) if dtype in QUANTIZED else None)


@pytest.mark.parametrize("v1", [False, True])
def test_as_tensorflow_s_reader_has_it(v1: bool, tmp_path: Path) -> None:
    """Many arrays, so that the table has several blocks, with names of all kinds."""
    chance = np.random.default_rng(1)
    names = [f"{'scope/' * (n % 5)}{n % 7}/ü{n}" for n in range(3000)]
    arrays = {name: tf.constant(chance.random(int(n) % 40 + 1)) for n, name in enumerate(names)}
    checkpoint = Checkpoint(write(tmp_path / "c", arrays, v1))
    theirs = tf.train.load_checkpoint(str(tmp_path / "c"))
    assert list(checkpoint.shapes) == sorted(names)
    for name in names[::17]:
        assert same(checkpoint.read(name), theirs.get_tensor(name))


@pytest.mark.parametrize("v1", [False, True])
def test_a_large_array(v1: bool, tmp_path: Path) -> None:
    value = tf.random.stateless_normal([1000, 1234], [1, 2])
    checkpoint = Checkpoint(write(tmp_path / "c", {"large": value, "after": value[:1]}, v1))
    assert same(checkpoint.read("large"), value)
    assert same(checkpoint.read("after"), value[:1])


ROWS = (0, 10, 63, 64, 8191, 8192, 20000)  # whose numbers take one, two and three bytes in keys


def write_slices(folder: Path, whole: Any, v1: bool) -> Place:
    """Rows of one array in several files, as `fixed_size_partitioner` and a sharded Saver do."""
    places = []
    count = len(ROWS) - 1
    for number, (first, end) in enumerate(itertools.pairwise(ROWS)):
        name = f"m-{number:05}-of-{count:05}" if v1 else f"part{number}"
        said = f"{whole.shape[0]} {whole.shape[1]} {first},{end - first}:-"
        arrays = {"w\0\xff": whole[first:end]} | ({"other": whole[:1]} if number == 2 else {})
        parts = {"w\0\xff": said, "other": ""}
        places.append(write(folder / name, arrays, v1, parts))
    return Place.of(folder / "m") if v1 else merge(places, folder / "m")


@pytest.mark.parametrize("v1", [False, True])
def test_slices_of_a_partitioned_variable_in_several_files(v1: bool, tmp_path: Path) -> None:
    whole = tf.random.stateless_normal([ROWS[-1], 3], [3, 4])
    checkpoint = Checkpoint(write_slices(tmp_path, whole, v1))
    assert checkpoint.shapes == {"other": (1, 3), "w\0\xff": (ROWS[-1], 3)}
    assert len([file for file in checkpoint.files() if file.suffix != ".index"]) == 6
    assert same(checkpoint.read("w\0\xff"), whole)
    assert same(checkpoint.read("other"), whole[:1])
    for first, end in [(0, 10), (64, 8191), (5, 7), (50, 9000), (0, 20000), (3, 3)]:
        part = ((first, end - first), (1, 2))
        assert same(checkpoint.read("w\0\xff", part), whole[first:end, 1:])
        assert same(checkpoint.read("w\0\xff", (part[0], (0, 3))), whole[first:end])


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("resource", [False, True])
def test_what_a_sharded_saver_writes(v1: bool, resource: bool, tmp_path: Path) -> None:
    v1_api = tf.compat.v1
    with tf.Graph().as_default(), v1_api.Session() as session:
        columns = v1_api.fixed_size_partitioner(3, axis=1)
        with v1_api.variable_scope("net", use_resource=resource):
            w = v1_api.get_variable("w", [4, 7], partitioner=columns)
        with tf.device("/cpu:0"):
            b = v1_api.get_variable("b", [5], tf.float64)
        session.run(v1_api.global_variables_initializer())
        values = session.run({"net/w": tf.convert_to_tensor(w), "b": b})
        version = v1_api.train.SaverDef.V1 if v1 else v1_api.train.SaverDef.V2
        saver = v1_api.train.Saver(write_version=version, sharded=True)
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=7)
    checkpoint = Checkpoint(Place.of(tmp_path))
    assert checkpoint.prefix.path == tmp_path / "model.ckpt-7"
    assert checkpoint.shapes == {"b": (5,), "net/w": (4, 7)}
    for name, value in values.items():
        assert same(checkpoint.read(name), value)
    file = checkpoint.files()[-1]
    assert Checkpoint(Place.of(file)).shapes == checkpoint.shapes


def test_a_checkpoint_of_objects(tmp_path: Path) -> None:
    """TensorFlow 2's, with a text that describes the tree of objects."""
    module = tf.Module()
    module.v = tf.Variable(tf.random.stateless_normal([3], [1, 2]), dtype=tf.float32)
    path = tf.train.Checkpoint(m=module).save(str(tmp_path / "ckpt"))
    checkpoint, theirs = Checkpoint(Place.of(path)), tf.train.load_checkpoint(path)
    assert checkpoint.shapes == {k: tuple(s) for k, s in theirs.get_variable_to_shape_map().items()}
    for name in checkpoint.shapes:
        assert same(checkpoint.read(name), theirs.get_tensor(name))
