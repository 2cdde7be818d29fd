"""A graph as a TensorFlow Lite file; a network takes prepared pixels, in batches of any size.

The body has its batch norms folded. TensorFlow's own converter writes it, with builtin operators
where there are some; one whose name begins with Flex is TensorFlow's own, and needs its
`select_tf_ops`.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retrain_tools import files
from retrain_tools.engine.session import first_sentence
from retrain_tools.errors import InputError
from retrain_tools.export.body import PIXELS, Body, BodyFunction, body_of_network, output_keys
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import QUANTIZATIONS, ExportOptions
from retrain_tools.export.pixel_scaling import scaling_text
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.quiet_tensorflow import stderr_held_back, tf
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.tflite import open_tflite


def check_path(path: str) -> None:
    """Raise InputError if there cannot be such a file."""
    files.check_file(path)


def write(
    frozen: FrozenGraph, path: str, tensors: Sequence[str], options: ExportOptions
) -> dict[str, str]:
    """Write the file, and return what is worth knowing of it.

    Raises:
        InputError: the converter refuses the graph.
    """
    body = body_of_network(frozen, output_keys(frozen, tensors))
    height, width = frozen.spec.image_size
    shape = [None, height, width, frozen.spec.channels]
    takes = [tf.TensorSpec(shape, tf.float32, PIXELS)]
    told = write_body(path, body, takes, options.quantize, str(frozen.path))
    return {
        **told,
        "Input": f"{PIXELS}, float32 [N, {height}, {width}, {frozen.spec.channels}], "
        f"{scaling_text(frozen)}; N is 1 until it is resized",
        "Outputs": ", ".join(f"{key} ({tensor})" for key, tensor in body.outputs.items()),
    }


def write_body(
    path: str, body: Body, takes: Sequence[Any], quantize: str, where: str
) -> dict[str, str]:
    """Write a body as such a file, and return what is worth knowing of it.

    Args:
        path: the file.
        body: what to write.
        takes: a TensorSpec for each input, named by its key.
        quantize: one of `QUANTIZATIONS`.
        where: the graph's file, for messages.

    Raises:
        InputError: the converter refuses the graph.
    """
    module = tf.Module()
    try:
        with stderr_held_back():  # MLIR tells of every pass
            concrete = BodyFunction(module, body).traced(takes).get_concrete_function()
            data = _converted(tf.lite.TFLiteConverter, concrete, module, quantize)
    except (ValueError, tf.errors.OpError, _ConverterError) as error:
        reason = first_sentence(error)
        raise InputError(f"{where} cannot become a TensorFlow Lite file: {reason}") from error
    with files.replacing(path) as file:
        file.write(data)
    return {
        "TensorFlow": tf.version.VERSION,
        "Quantization": QUANTIZATIONS[quantize],
        "Operators": operators_text(path),
    }


class _ConverterError(Exception):
    """The converter's own error, whose class TensorFlow does not export."""


def _converted(converter: Any, concrete: Any, module: Any, quantize: str) -> bytes:
    made = converter.from_concrete_functions([concrete], module)
    made.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    if quantize != "none":
        made.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        made.target_spec.supported_types = [tf.float16]
    try:
        return made.convert()
    except Exception as error:
        if type(error).__name__ == "ConverterError":
            raise _ConverterError(str(error)) from error
        raise


def operators_text(path: str) -> str:
    """Return the operators of a file and how often each is there, the most frequent first."""
    graph = open_tflite(Place.of(path)).own_graph
    counts = collections.Counter(operator.op for operator in (graph.operators if graph else ()))
    return ", ".join(f"{count} {op}" for op, count in counts.most_common())


def run(
    path: str, sample: Sample, frozen: FrozenGraph, tensors: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what the file gives in the Lite runtime: the output, the tensor, and its values."""
    keys = output_keys(frozen, tensors)
    given = run_on_arrays(path, {PIXELS: sample.pixels}, list(keys))
    for key, tensor in keys.items():
        yield key, tensor, given[key]


def run_on_arrays(path: str, feeds: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return the outputs of a file in the Lite runtime, all by their keys."""
    with warnings.catch_warnings(), stderr_held_back():
        warnings.simplefilter("ignore")  # it will be a package of its own
        interpreter = tf.lite.Interpreter(model_path=path)
        given = interpreter.get_signature_runner()(**feeds)
    return {key: given[key] for key in outputs}
