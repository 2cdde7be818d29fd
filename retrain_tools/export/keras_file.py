"""A frozen convolutional network as a `.keras` file, whose layers can be trained."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.keras_model import to_keras
from retrain_tools.export.pixel_scaling import scaling_text
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.leftovers import owned_folder
from retrain_tools.sources.readers.keras_library import keras_3


def check_path(path: str) -> None:
    """Raise InputError if there cannot be such a file, or Keras would not know it."""
    if not path.endswith(".keras"):
        raise InputError(f"{argument('output')}={path} must end in .keras, by which Keras goes.")
    files.check_file(path)


def write(
    frozen: FrozenGraph, path: str, tensors: Sequence[str], _: ExportOptions
) -> dict[str, str]:
    """Write the model, in one step, and return what is worth knowing of it.

    Raises:
        InputError: see `to_keras`.
    """
    made = to_keras(frozen, tensors)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with owned_folder(target.parent) as scratch:
        finished = str(Path(scratch, "model.keras"))
        made.model.save(finished)
        Path(finished).replace(target)
    kinds = collections.Counter(type(layer).__name__ for layer in made.model.layers)
    spec = frozen.spec
    height, width = spec.image_size
    told = {
        "Keras": keras_3(path).__version__,
        "Layers": ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        "Parameters": f"{made.model.count_params():,}",
        "Input": f"float32 [N, {height}, {width}, {spec.channels}], {scaling_text(frozen)}",
    }
    for label, tensor in (("Bottleneck", spec.bottleneck), ("Result", spec.final)):
        if tensor is not None and tensor in made.layers:
            told[label] = f"the layer {made.layers[tensor]} makes {tensor}"
    return told


def run(
    path: str, sample: Sample, _: FrozenGraph, tensors: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what the file gives: the way it was run, the tensor, and its values."""
    model = keras_3(path).saving.load_model(path, compile=False)
    values = model.predict(sample.pixels, verbose=0)
    listed = values if isinstance(values, list) else [values]
    yield from zip(tensors, tensors, listed, strict=True)
