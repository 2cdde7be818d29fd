"""A graph as an ONNX file: prepared pixels in, in batches of any size.

The body has its batch norms folded. tf2onnx writes it, and ONNX Runtime runs it (the extra `onnx`).
"""

from __future__ import annotations

import collections
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.network_functions import exported_body, output_keys
from retrain_tools.export.pixel_scaling import scaling_text
from retrain_tools.extras import import_extra
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import whole_graph
from retrain_tools.quiet_tensorflow import import_tensorflow, stderr_held_back, tf

OPSET = 17
"""ONNX's set of operators: of 2022, which runtimes from 1.12 on have."""

_INPUT, _PURPOSE = "pixels", "An export to ONNX"


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
        InputError: tf2onnx is not installed, or has no operators for some nodes.
    """
    import_tensorflow()
    onnx = import_extra("onnx", _PURPOSE)
    keys = output_keys(frozen, tensors)
    data = whole_graph(*exported_body(frozen, tensors)).SerializeToString()
    with stderr_held_back(), _quiet("tf2onnx"):
        tf2onnx = import_extra("tf2onnx", _PURPOSE)
        converter = import_extra("tf2onnx.convert", _PURPOSE)
        try:
            model, _ = converter.from_graph_def(
                tf.compat.v1.GraphDef.FromString(data),
                input_names=[frozen.spec.pixel_input],
                output_names=list(tensors),
                opset=OPSET,
            )
            onnx.checker.check_model(model)
        except Exception as error:  # tf2onnx raises whatever its handlers happen to
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{frozen.path} cannot become an ONNX file: {reason}") from error
    _rename(model, {frozen.spec.pixel_input: _INPUT, **{t: key for key, t in keys.items()}})
    with files.replacing(path) as file:
        file.write(model.SerializeToString())
    counts = collections.Counter(node.op_type for node in model.graph.node)
    height, width = frozen.spec.image_size
    return {
        "ONNX": f"operator set {OPSET}, by tf2onnx {tf2onnx.__version__}",
        "Quantization": "none: float32",
        "Operators": ", ".join(f"{count} {op}" for op, count in counts.most_common()),
        "Input": f"{_INPUT}, float32 [N, {height}, {width}, {frozen.spec.channels}], "
        f"{scaling_text(frozen)}",
        "Outputs": ", ".join(f"{key} ({tensor})" for key, tensor in keys.items()),
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
    runtime = import_extra("onnxruntime", _PURPOSE)
    keys = output_keys(frozen, tensors)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = session.run(list(keys), {_INPUT: sample.pixels})
    for (key, tensor), value in zip(keys.items(), values, strict=True):
        yield key, tensor, value
