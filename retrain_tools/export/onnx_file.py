"""A graph as an ONNX file; a network takes prepared pixels, in batches of any size.

The body has its batch norms folded. tf2onnx writes it, and ONNX Runtime runs it (the extra `onnx`).
"""

from __future__ import annotations

import collections
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.export.body import PIXELS, Body, body_of_network, output_keys
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.pixel_scaling import scaling_text
from retrain_tools.extras import import_extra
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import whole_graph
from retrain_tools.quiet_tensorflow import import_tensorflow, stderr_held_back, tf

OPSET = 17
"""ONNX's set of operators: of 2022, which runtimes from 1.12 on have."""

_ERRORS = 3  # ONNX Runtime's level of them
_PURPOSE = "An export to ONNX"


def check_path(path: str) -> None:
    """Raise InputError if there cannot be such a file, or the packages are missing."""
    files.check_file(path)
    for package in ("onnx", "onnxruntime"):  # tf2onnx imports TensorFlow
        import_extra(package, _PURPOSE)


def write(
    frozen: FrozenGraph, path: str, tensors: Sequence[str], _: ExportOptions
) -> dict[str, str]:
    """Write the file, and return what is worth knowing of it.

    Raises:
        InputError: see `write_body`.
    """
    body = body_of_network(frozen, output_keys(frozen, tensors))
    height, width = frozen.spec.image_size
    return {
        **write_body(path, body, str(frozen.path)),
        "Input": f"{PIXELS}, float32 [N, {height}, {width}, {frozen.spec.channels}], "
        f"{scaling_text(frozen)}",
        "Outputs": ", ".join(f"{key} ({tensor})" for key, tensor in body.outputs.items()),
    }


def write_body(path: str, body: Body, where: str) -> dict[str, str]:
    """Write a body as such a file, and return what is worth knowing of it.

    Args:
        path: the file.
        body: what to write; inputs and outputs get their keys as names.
        where: the graph's file, for messages.

    Raises:
        InputError: tf2onnx is not installed, or has no operators for some nodes.
    """
    import_tensorflow()
    onnx = import_extra("onnx", _PURPOSE)
    data = whole_graph(body.light, body.weights).SerializeToString()
    with stderr_held_back(), _quiet("tf2onnx"):
        tf2onnx = import_extra("tf2onnx", _PURPOSE)
        converter = import_extra("tf2onnx.convert", _PURPOSE)
        try:
            model, _ = converter.from_graph_def(
                tf.compat.v1.GraphDef.FromString(data),
                input_names=list(body.inputs.values()),
                output_names=list(body.outputs.values()),
                opset=OPSET,
            )
            onnx.checker.check_model(model)
        except Exception as error:  # tf2onnx raises whatever its handlers happen to
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{where} cannot become an ONNX file: {reason}") from error
    _rename(model, {tensor: key for key, tensor in (*body.inputs.items(), *body.outputs.items())})
    with files.replacing(path) as file:
        file.write(model.SerializeToString())
    counts = collections.Counter(node.op_type for node in model.graph.node)
    return {
        "ONNX": f"operator set {OPSET}, by tf2onnx {tf2onnx.__version__}",
        "Quantization": "none: float32",
        "Operators": ", ".join(f"{count} {op}" for op, count in counts.most_common()),
    }


def _rename(model: Any, names: dict[str, str]) -> None:
    """Give inputs and outputs of a model their keys as names; the model is changed."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    log = logging.getLogger(name)
    level = log.level
    log.setLevel("ERROR")
    try:
        yield
    finally:
        log.setLevel(level)


def run(
    path: str, sample: Sample, frozen: FrozenGraph, tensors: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what the file gives in ONNX Runtime: the output, the tensor, and its values."""
    keys = output_keys(frozen, tensors)
    given = run_on_arrays(path, {PIXELS: sample.pixels}, list(keys))
    for key, tensor in keys.items():
        yield key, tensor, given[key]


def run_on_arrays(path: str, feeds: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return the outputs of a file in ONNX Runtime, all by their keys."""
    runtime = import_extra("onnxruntime", _PURPOSE)
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), dict(feeds)), strict=True))
