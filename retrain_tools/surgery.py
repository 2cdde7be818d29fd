"""The package's functions that change graphs: `rt.transform_graph`, `export_graph`, `to_keras`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain_tools.api import Images
from retrain_tools.export.exported import Exported, ExportOptions
from retrain_tools.export.exporting import export_model, wanted_tensors
from retrain_tools.features.transforming import TransformResult, Verification, transform_model
from retrain_tools.graphdef.transforms.registry import named_calls
from retrain_tools.images.decode import named_images
from retrain_tools.images.folders import expand_folders
from retrain_tools.sources.model import Model


def export_graph(
    model: Model,
    path: str | Path,
    to: str,
    *,
    outputs: str | Sequence[str] = (),
    labels: Sequence[str] = (),
    images: Sequence[str | Path] = (),
    quantize: str = "none",
) -> Exported:
    """Write a model in another form, run that, and compare it with the untouched graph.

    A model that takes no images is compared on random values.

    Args:
        model: what `load` opened.
        path: the file or folder to write.
        to: `graphdef`, `saved_model`, `tflite`, `onnx` or `keras`.
        outputs: what it gives: tensors or nodes; none for the graph's result or its bottleneck.
        labels: the names of the classes, in the order of the scores.
        images: files to compare on, of which eight are taken; none for photos that are drawn.
        quantize: for `tflite`: `float16` or `dynamic` (int8 weights).

    Returns:
        `difference`, the largest one; `differences` by output; `told`, what is worth knowing; it
        has a `summary()`.

    Raises:
        InputError: there is no such form, it cannot hold this graph, or the path cannot be written.

    Example:
        >>> import retrain_tools as rt
        >>> rt.export_graph(rt.load("graph.pb"), "graph.keras", "keras").difference < 1e-4
        True
    """
    options = ExportOptions(_names(outputs), labels, images, quantize)
    return export_model(model, str(path), to, options)


def to_keras(model: Model, outputs: str | Sequence[str] = ()) -> Any:
    """Return a convolutional network as a functional Keras 3 model, layer by layer.

    It takes pixels as the graph's pixel input does, float32 [N, height, width, channels], which
    are scaled already. A layer has its node's name with `_` for `/`; batch norms stay layers.

    Args:
        model: what `load` opened.
        outputs: what it gives: tensors or nodes; none for the graph's result or its bottleneck.

    Returns:
        The `keras.Model`.

    Raises:
        InputError: it has nodes that no layer of Keras computes: all are named.

    Example:
        >>> import retrain_tools as rt
        >>> network = rt.to_keras(rt.load("graph.pb"), "pool_3/_reshape:0")
        >>> network.get_layer("mixed_8_join").output.shape[1:3]
        (8, 8)
    """
    from retrain_tools.export.keras_model import to_keras as rebuilt

    frozen = model.frozen()
    return rebuilt(frozen, wanted_tensors(frozen, _names(outputs))).model


def transform_graph(
    model: Model,
    path: str | Path,
    transforms: str | None = None,
    *,
    recipe: str | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    verify: Images | None = None,
    seed: int = 0,
) -> TransformResult:
    """Write a model's graph, changed by transforms, as the script `transform_graph` does.

    Args:
        model: what `load` opened.
        path: the file to write.
        transforms: the transforms, as `remove_nodes(op=Identity) fold_batch_norms`.
        recipe: a named list of transforms, done before those: `deploy`, for example.
        inputs: what is fed, by tensors or nodes; None for what the graph says.
        outputs: what is fetched, whose names and values stay; None for what the graph says.
        verify: images to compare the graph on with what it was; an empty list for random values.
        seed: of random values.

    Returns:
        `path`, `inputs`, `outputs`; `steps`, what each transform did; and `verified`, with the
        `largest` difference of a value and the `differences` by output, None without `verify`.

    Raises:
        InputError: there is no such transform or tensor, or a transform fails, or one of the graphs
            cannot be run.

    Example:
        >>> import retrain_tools as rt
        >>> model = rt.load("graph.pb")
        >>> made = rt.transform_graph(model, "small.pb", recipe="deploy", verify="photos")
        >>> made.outputs, made.verified.largest < 1e-4
        (('softmax:0',), True)
    """
    verification = None
    if verify is not None:
        verification = Verification(named_images(expand_folders(verify)), seed)
    calls = named_calls(recipe, transforms)
    return transform_model(model, path, calls, inputs, outputs, verification)


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
