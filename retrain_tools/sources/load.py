"""`retrain_tools.load`: `open_model` with what the user says of the graph as keywords."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import open_model


def load(
    graph: str | Path,
    *,
    model_dir: str | Path | None = None,
    tags: str | Sequence[str] | None = None,
    signature: str | None = None,
    preprocess: str | None = None,
    input_layer: str | None = None,
    output_layer: str | None = None,
    bottleneck_tensor: str | None = None,
    input_height: int | None = None,
    input_width: int | None = None,
    input_mean: float | None = None,
    input_std: float | None = None,
) -> Model:
    """Open any TensorFlow file, or a catalogued network by its name. Nothing of it is run.

    Args:
        graph: a file or folder, a checkpoint's prefix, or a name of the catalogue.
        model_dir: where catalogued networks are kept; None for the user's cache folder.
        tags: of a SavedModel: which of its graphs.
        signature: of a SavedModel or MetaGraph: what to take.
        preprocess: `resize` or `slim` for a slim checkpoint; `none` feeds raw pixels of 0 to 255.
        input_layer: the tensor that takes the image, if the graph does not show it.
        output_layer: the tensor that gives the scores.
        bottleneck_tensor: the tensor to cache and to retrain on.
        input_height: of the graph's images, in pixels, if it does not say.
        input_width: the same.
        input_mean: subtracted from pixels of 0 to 255, for a graph of unknown scaling.
        input_std: what pixels are divided by after that.

    Raises:
        InputError: there is no such file, or it cannot be read.

    Example:
        >>> import retrain_tools as rt
        >>> model = rt.load("graph.pb")
        >>> [tensor.name for tensor in model.tensors("^softmax:|_reshape:")]
        ['pool_3/_reshape:0', 'softmax:0']
    """
    is_raw = preprocess == "none"
    choices = Choices(
        [tags] if isinstance(tags, str) else tags, signature, None if is_raw else preprocess
    )
    overrides = SpecOverrides(
        input_layer=input_layer,
        output_layer=output_layer,
        bottleneck_tensor=bottleneck_tensor,
        input_height=input_height,
        input_width=input_width,
        input_mean=input_mean,
        input_std=input_std,
        raw_pixels=is_raw,
    )
    return dataclasses.replace(open_model(graph, model_dir, choices), overrides=overrides)
