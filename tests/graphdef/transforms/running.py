"""Runs light graphs in TensorFlow, and the Graph Transform Tool that still ships inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import own


def apart(graph_def: Any) -> tuple[Any, dict[str, Any]]:
    """A graph as a light graph and its weights."""
    return light_copy(graph_def), large_constants(graph_def)


def run_light(light: Any, weights: Mapping[str, Any], fetch: Any, feeds: Mapping[str, Any]) -> Any:
    """Values of a light graph in TensorFlow, as floats where they are strange types."""
    with tf.Graph().as_default() as graph:
        import_light(light, {name: _tensor(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(fetch, dict(feeds))


def _tensor(value: Any) -> Any:
    named = value.dtype.names
    return tf.constant(value, tf.as_dtype(named[0])) if named else tf.constant(value)


def oracle(graph_def: Any, inputs: Sequence[str], outputs: Sequence[str], transforms: str) -> Any:
    """What TensorFlow's own, private Graph Transform Tool makes of a graph."""
    module = pytest.importorskip(
        "tensorflow.python.util._pywrap_transform_graph",
        reason="this TensorFlow has no Graph Transform Tool inside",
    )
    made = module.TransformGraphWithStringInputs(
        graph_def.SerializeToString(),
        ",".join(inputs).encode(),
        ",".join(outputs).encode(),
        transforms.encode(),
    )
    return own(tf.compat.v1.GraphDef.FromString(made))


def op_names(graph_def: Any) -> list[str]:
    return [node.op for node in graph_def.node]


def assert_not_changed(transform: Any, graph_def: Any, keep: Sequence[str], **said: Any) -> None:
    """A transform has nothing to do on a graph: the same nodes and the same arrays."""
    light, weights = apart(graph_def)
    before = light.SerializeToString(deterministic=True)
    made, arrays = transform(light, weights, keep, **said)
    assert light.SerializeToString(deterministic=True) == before, "what is given is not changed"
    assert made == light
    assert arrays.keys() == weights.keys()
    assert all((arrays[name] == weights[name]).all() for name in weights)
