"""Fetching into a file of features and looking at what is there, for the tests of `fetch`."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.fetch import FetchedTensors, FetchOptions, fetch_tensors, named_tensor
from retrain_tools.graphdef.spec import FrozenGraph

from . import tiny

FETCHES = ["pool/_reshape:0", "conv/relu:0", "softmax"]
EXACT = 1e-4


def fetch(
    frozen: FrozenGraph, paths: list[str], output: Path | str, names=None, **options
) -> FetchedTensors:
    tensors = {name: named_tensor(frozen, name) for name in names or FETCHES}
    return fetch_tensors(frozen, tensors, paths, FetchOptions(str(output), **options))


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        fetch(*arguments, **options)
    return str(error.value)


def counts(report: FetchedTensors) -> tuple[int, int, int]:
    return report.computed, report.reused, len(report.failed)


def jpegs(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


def alone(graph: Path, name: str, path: str) -> np.ndarray:
    """What the untouched graph gives for one image; `name` is a tensor of the graph of 2015."""
    return _run(graph, name if ":" in name else f"{name}:0", Path(path).read_bytes())


@functools.cache
def _run(graph: Path, tensor: str, data: bytes) -> np.ndarray:
    """The photos of all tests are the same."""
    return tiny.run_untouched(graph, tensor, {"DecodeJpeg/contents:0": data})[0]


def check(store: Path, graph: Path, paths: list[str], names=None) -> None:
    """An .npz holds exactly these images in this order, with the values of each run alone."""
    with np.load(store, allow_pickle=False) as arrays:
        assert arrays["images"].tolist() == paths
        for name in names or FETCHES:
            values = arrays[name]
            assert values.dtype == np.float32
            assert len(values) == len(paths)
            for value, path in zip(values, paths, strict=True):
                expected = alone(graph, name, path)
                assert value.shape == expected.shape
                np.testing.assert_allclose(value, expected, rtol=0, atol=EXACT)


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a folder, to see that nothing was touched."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_time(path: str, seconds: int) -> None:
    os.utime(path, (seconds, seconds))
