"""An export from beginning to end: written, run again, compared with its source."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrain_tools.disk_space import needing
from retrain_tools.errors import InputError, argument
from retrain_tools.export.comparing_with_source import difference, run_source
from retrain_tools.export.exported import DEFAULTS, Exported, ExportOptions, size_text
from retrain_tools.export.without_images import export_on_arrays
from retrain_tools.graphdef.image_inputs import NotForImagesError
from retrain_tools.graphdef.navigate import check_made, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.sources.model import Model

TARGETS = {
    "graphdef": "graph_file",
    "saved_model": "saved_model",
    "tflite": "tflite",
    "onnx": "onnx_file",
    "keras": "keras_file",
}
"""What a graph can be exported to, and the module that does it: `write`, and `run` for its own
runtime."""

_IMAGES_ONLY = "keras"


def export_frozen(
    frozen: FrozenGraph, path: str, to: str, options: ExportOptions = DEFAULTS
) -> Exported:
    """Write a graph in another form, run that, and compare it with the untouched graph.

    Args:
        frozen: the graph.
        path: the file or folder to write.
        to: one of `TARGETS`.
        options: what else was said.

    Raises:
        InputError: there is no such target, it cannot hold this graph, the path cannot be written,
            or an image cannot be used.
    """
    check_target(to, path)
    target = _module(to)
    tensors = wanted_tensors(frozen, options.outputs)
    sample = run_source(frozen, tensors, options)
    with needing(path, frozen.graph_def.ByteSize):
        told = target.write(frozen, path, tensors, options)
    differences, largest = {}, {}
    for way, tensor, values in target.run(path, sample, frozen, tensors):
        differences[way] = difference(values, sample.values[tensor])
        largest[way] = float(np.abs(sample.values[tensor]).max(initial=0.0))
    told = {"Size": size_text(path), **told}
    return Exported(path, told, differences, largest, sample.images)


def export_model(
    model: Model,
    path: str,
    to: str,
    options: ExportOptions = DEFAULTS,
    frozen: FrozenGraph | None = None,
) -> Exported:
    """Write a model in another form: on images, or on arrays where it takes no images.

    Args:
        model: what `load` opened.
        path: the file or folder to write.
        to: one of `TARGETS`.
        options: what else was said.
        frozen: what `for_images` gave of it, if that was called before.

    Raises:
        InputError: see `export_frozen` and `export_on_arrays`.
    """
    check_target(to, path)
    frozen = frozen or for_images(model)
    if frozen is None and (to == _IMAGES_ONLY or options.images or options.labels):
        frozen = model.frozen()  # says why not
    if frozen is None:
        return export_on_arrays(model, path, to, TARGETS[to], options)
    return export_frozen(frozen, path, to, options)


def for_images(model: Model) -> FrozenGraph | None:
    """Return a model's frozen graph with what it takes to run it on images; None if it takes none.

    Raises:
        InputError: see `Model.frozen`; also where an input for images was named.
    """
    try:
        return model.frozen()
    except NotForImagesError:
        if model.overrides.input_layer is not None:
            raise
        return None


def check_target(to: str, path: str) -> None:
    """Raise InputError if there is no such target, or it cannot be written to that path."""
    if to not in TARGETS:
        raise InputError(f"{argument('to')}={to} must be one of {', '.join(TARGETS)}.")
    _module(to).check_path(path)


def _module(to: str) -> Any:
    return importlib.import_module(f"retrain_tools.export.{TARGETS[to]}")


def wanted_tensors(frozen: FrozenGraph, outputs: Sequence[str] = ()) -> list[str]:
    """Return the full names of what an export gives: `outputs`, or the graph's result.

    Raises:
        InputError: there is no such tensor.
    """
    spec, nodes = frozen.spec, nodes_by_name(frozen.graph_def)
    if not outputs:
        return [spec.final or spec.bottleneck]
    where = str(frozen.path)
    return [spec.end_points.get(name) or check_made(name, nodes, where) for name in outputs]
