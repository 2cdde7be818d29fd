"""TensorFlow 1's Graph Transform Tool, which TensorFlow still has inside: for tests only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.transforms.apply import Transformed, apply_transforms
from retrain_tools.graphdef.transforms.parse import parse_transforms
from retrain_tools.sources.readers.graph_def import read_graph_def

from ..tiny_graphs import MOBILENET, SIZE, inception_like, jpeg, real, run

Case = tuple[Any, list[str], list[str], dict[str, Any]]
"""A graph, its inputs, its outputs, and what to feed it."""


def old_tool(graph_def: Any, transforms: str, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """The graph after TensorFlow's own transforms; RuntimeError or ValueError where it refuses."""
    import tensorflow  # noqa: F401 - loads the library that the module below is of
    from tensorflow.python.util import _pywrap_transform_graph

    data = _pywrap_transform_graph.TransformGraphWithStringInputs(
        graph_def.SerializeToString(),
        ",".join(inputs).encode(),
        ",".join(outputs).encode(),
        transforms.encode(),
    )
    result = schema.GraphDef.FromString(data)
    result.versions.CopyFrom(graph_def.versions)  # which most of its transforms lose
    return result


def transformed(
    graph_def: Any, transforms: str, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> Transformed:
    """The graph after our transforms."""
    return apply_transforms(graph_def, parse_transforms(transforms), inputs, outputs)


def tiny() -> Case:
    """The graph of 2015 in little, run on a photo."""
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    return inception_like(), ["DecodeJpeg/contents"], ["softmax", "pool_3"], feeds


def tiny_on_pixels() -> Case:
    """The same from its pixels on."""
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    return inception_like(), ["Mul"], ["softmax", "pool_3"], {"Mul:0": pixels}


def mobilenet() -> Case:
    """A published MobileNet; skips the test where it is not here."""
    graph_def = read_graph_def(real(MOBILENET)).proto
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    return graph_def, ["input"], ["MobilenetV1/Predictions/Reshape_1"], {"input:0": pixels}


def lstm() -> Case:
    """An unrolled LSTM that somebody published, with dropout; skips the test without it."""
    graph_def = read_graph_def(real("wild/onnx_lstm_frozen.pb")).proto
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (2, 784)).astype(np.float32)
    return graph_def, ["X", "keep_prob"], ["output"], {"X:0": rows, "keep_prob:0": np.float32(1)}


CASES = {"tiny": tiny, "pixels": tiny_on_pixels, "mobilenet": mobilenet, "lstm": lstm}


def values(graph_def: Any, outputs: Sequence[str], feeds: dict[str, Any]) -> list[Any]:
    """What TensorFlow computes for nodes."""
    return [run(graph_def, f"{name}:0", feeds) for name in outputs]


def bits(graph_def: Any) -> bytes:
    """The bytes of a graph, to see whether it is the same; no library is an empty one."""
    data: bytes = copy_nodes(graph_def, lambda _: True).SerializeToString(deterministic=True)
    return data
