"""TensorBoard's event files: scalars and histograms to protobuf's bytes, without its messages.

TensorFlow's own writer hands each event as a message to a thread, which costs as much as a training
step. What the fields are: tensorflow/core/util/event.proto and core/framework/summary.proto.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import platform
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.disk_space import needing
from retrain_tools.graphdef.save import field_start, varint
from retrain_tools.quiet_tensorflow import system_errors, tf

_FILE_VERSION = b"brain.Event:2"  # what every event file begins with
_BUCKETS = 30
_EDGES = np.arange(_BUCKETS + 1, dtype=np.float32)
_SORTED_SOONER = 5000  # values; more are counted edge by edge in a quarter of the time

# Field numbers of Event, Summary, Summary.Value and HistogramProto.
_WALL_TIME, _STEP, _VERSION, _GRAPH_DEF, _SUMMARY = 1, 2, 3, 4, 5
_VALUE = 1
_TAG, _SIMPLE_VALUE, _HISTO = 1, 2, 5
_MIN_TO_SQUARES, _BUCKET_LIMIT, _BUCKET = range(1, 6), 6, 7

# How protobuf tells what follows a field's number, and those that have a double or float.
_VARINT, _DOUBLE, _FLOAT = 0, 1, 5
_ONE_DOUBLE, _ONE_FLOAT = struct.Struct("<Bd"), struct.Struct("<Bf")
_NUMBERS = struct.Struct("<" + "Bd" * len(_MIN_TO_SQUARES))
_NUMBER_TAGS = [number << 3 | _DOUBLE for number in _MIN_TO_SQUARES]


class EventFile:
    """An event file that is written; close it after use."""

    def __init__(self, folder: Path) -> None:
        """Open a new file in a folder, which is made if it is missing, under TensorFlow's name."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010}.{platform.node()}"
        self._path = folder / name
        with system_errors(self._path):
            self._records = tf.io.TFRecordWriter(str(self._path))
        self._write(_field(_VERSION, _FILE_VERSION))

    def close(self) -> None:
        """Close the file."""
        with needing(self._folder, lambda: None), system_errors(self._path):
            self._records.close()

    def add_graph(self, graph_def: Any) -> None:
        """Record a graph, for TensorBoard to draw."""
        self._write(_field(_GRAPH_DEF, graph_def.SerializeToString()))

    def add(self, step: int, values: Sequence[bytes]) -> None:
        """Record what `scalar` and `histogram` gave for a step."""
        number = bytes([_STEP << 3 | _VARINT]) + varint(step)
        self._write(number + _field(_SUMMARY, b"".join(values)))

    def _write(self, fields: bytes) -> None:
        now = _ONE_DOUBLE.pack(_WALL_TIME << 3 | _DOUBLE, time.time())
        with needing(self._folder, lambda: None), system_errors(self._path):
            self._records.write(now + fields)


def scalar(tag: str, value: float) -> bytes:
    """Return one number of a summary; it is kept as float32."""
    return _value(tag, _ONE_FLOAT.pack(_SIMPLE_VALUE << 3 | _FLOAT, value))


@dataclasses.dataclass(frozen=True)
class Spread:
    """How float32 values are spread.

    Attributes:
        count: how many there are.
        low, high: the smallest and the largest.
        total: their sum.
        squares: the sum of their squares.
        edges: float32 [buckets + 1], as `np.histogram` chooses them.
        counts: int64 [buckets], how many values lie in each bucket; the last one is closed.
    """

    count: int
    low: float
    high: float
    total: float
    squares: float
    edges: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]

    @property
    def mean(self) -> float:
        """The mean."""
        return self.total / self.count

    @property
    def stddev(self) -> float:
        """The standard deviation from the mean."""
        return math.sqrt(max(self.squares / self.count - self.mean**2, 0.0))


def spread_of(values: npt.NDArray[np.float32]) -> Spread:
    """Return how values are spread, of whatever shape they are: at least one.

    Counts and edges are those of `np.histogram(values, bins=30)`, which takes six times as long. It
    refuses values that are no numbers, as a training has that diverges; their counts mean nothing.
    """
    flat = values.ravel(order="K")
    low, high = flat.min(), flat.max()
    first, last = (low, high) if low != high else (low - 0.5, high + 0.5)
    edges = _EDGES * ((last - first) / _BUCKETS) + first
    edges[-1] = last
    below = np.array([0, *_below(flat, edges[1:-1]), len(flat)])
    doubles = flat.astype(np.float64)
    total, squares = float(doubles.sum()), float(np.dot(doubles, doubles))
    counts = below[1:] - below[:-1]
    return Spread(len(flat), float(low), float(high), total, squares, edges, counts)


def _below(values: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> Sequence[int]:
    """Return how many values are below each edge, whichever way is faster for as many."""
    if len(values) < _SORTED_SOONER:
        return np.sort(values).searchsorted(edges).tolist()
    return [int(np.count_nonzero(values < edge)) for edge in edges]


def histogram(tag: str, spread: Spread) -> bytes:
    """Return one histogram of a summary."""
    given = (spread.low, spread.high, float(spread.count), spread.total, spread.squares)
    numbers = _NUMBERS.pack(*itertools.chain(*zip(_NUMBER_TAGS, given, strict=True)))
    limits = _field(_BUCKET_LIMIT, spread.edges[1:].astype("<f8").tobytes())
    counts = _field(_BUCKET, spread.counts.astype("<f8").tobytes())
    return _value(tag, _field(_HISTO, numbers + limits + counts))


def _value(tag: str, content: bytes) -> bytes:
    return _field(_VALUE, _tag(tag) + content)


@functools.cache
def _tag(tag: str) -> bytes:
    return _field(_TAG, tag.encode())


def _field(number: int, content: bytes) -> bytes:
    return field_start(number, len(content)) + content
