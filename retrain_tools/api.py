"""The package's functions for Python: `import retrain_tools as rt`, then `rt.load` and so on.

Images may be given as paths, folders (searched at any depth), the `bytes` of an encoded image, PIL
images, or uint8 arrays [H, W, 3]; one of them, or a sequence. A network that takes grey images also
takes arrays [H, W] and [H, W, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from retrain_tools.engine.arrays import run_on_arrays
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.fetch import named_tensors
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.in_memory import Features, fetch_in_memory
from retrain_tools.features.parts.driver import fetch_many as fetch_in_parts
from retrain_tools.features.parts.options import FetchedMany, ManyOptions
from retrain_tools.features.read_cache import read_bottlenecks
from retrain_tools.head.labelling import Labelled, label_images
from retrain_tools.head.labels import labels_of
from retrain_tools.head.retraining import RetrainResult, retrain_on, retrain_on_features
from retrain_tools.head.settings import RetrainSettings, find_classes, find_features, settings_in
from retrain_tools.head.training import TrainingSettings
from retrain_tools.head.tuned_tail import FineTuning
from retrain_tools.images.decode import ImageLike
from retrain_tools.images.folders import expand_folders
from retrain_tools.sources.freezing.write import write_frozen
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import load

__all__ = [
    "fetch",
    "fetch_many",
    "freeze",
    "label",
    "load",
    "read_bottlenecks",
    "retrain",
    "run",
]

Images = ImageLike | Sequence[ImageLike]
"""One image, a folder of images, or several of either."""


def fetch(
    model: Model,
    tensors: str | Sequence[str],
    images: Images,
    *,
    pooling: str | None = None,
    running: RunSettings = DEFAULTS,
) -> Features:
    """Fetch named tensors for images, in memory; `fetch_tensors` does it for more than fit there.

    Args:
        model: what `load` opened.
        tensors: tensors, nodes, or slim's names of end points.
        images: the images.
        pooling: `avg`, `max` or `flatten` to make vectors of feature maps; None keeps their shape.
        running: how the graph is run: `RunSettings(precision="bfloat16")`, for example.

    Returns:
        `values`, float32 [N, ...] for each name; `images`, the image of each row; `failed`, why an
        image has no row.

    Raises:
        InputError: a tensor is not there or not computed from images, or no image can be used.

    Example:
        >>> import retrain_tools as rt
        >>> found = rt.fetch(rt.load("graph.pb"), "pool_3/_reshape:0", "photos")
        >>> found.values["pool_3/_reshape:0"].shape[0] == len(found.images)
        True
    """
    found = expand_folders(images)
    return fetch_in_memory(model.frozen(), _names(tensors), found, pooling, running)


def fetch_many(
    model: Model, tensors: str | Sequence[str] | None, options: ManyOptions
) -> FetchedMany:
    """Fetch named tensors for any number of images, by many processes, into a folder of parts.

    Args:
        model: what `load` opened.
        tensors: tensors, nodes, or slim's names of end points; None for the bottleneck.
        options: which images, where to and how: `ManyOptions(output, image_dir=…)` has the script's
            flags as its fields.

    Returns:
        How many images were `computed`, `reused` and `failed` (by kinds), and how many `shards`
        there are. `read_features(output)` reads the rows.

    Raises:
        InputError: a tensor is not there or not computed from images, no image can be used, or the
            output is of something else.

    Example:
        >>> import retrain_tools as rt
        >>> options = rt.ManyOptions("features", image_dir="photos", workers=1, shard_size=16)
        >>> rt.fetch_many(rt.load("graph.pb"), None, options).shards
        1
    """
    names = None if tensors is None else _names(tensors)
    frozen = model.frozen()
    return fetch_in_parts(frozen, named_tensors(frozen, names), options)


def run(
    model: Model, tensors: str | Sequence[str], feeds: Mapping[str, Any]
) -> dict[str, npt.NDArray[Any]]:
    """Run a graph once on arrays, whatever they are; `fetch` is for images.

    Args:
        model: what `load` opened.
        tensors: what to fetch: tensors or nodes.
        feeds: what to feed: numbers, lists or arrays by the names of tensors or nodes.

    Returns:
        The value of each tensor, in its own type and shape, by the names that were asked for.

    Raises:
        InputError: a tensor is not there, takes another type or shape, or has to be fed and is
            not; or the model cannot be frozen.

    Example:
        >>> import numpy as np, retrain_tools as rt
        >>> pixels = np.zeros((1, 299, 299, 3))
        >>> found = rt.run(rt.load("graph.pb"), "softmax:0", {"Mul:0": pixels})
        >>> found["softmax:0"].shape
        (1, 1008)
    """
    allowed = model.overrides.allow_unsafe_graph
    path = str(model.path)
    return run_on_arrays(model.usual.graph_def, _names(tensors), feeds, path, allowed)


def label(
    model: Model,
    images: Images,
    labels: str | Path | Sequence[str] | None = None,
    top_k: int = 5,
    running: RunSettings = DEFAULTS,
) -> list[Labelled]:
    """Return the best labels of images and their scores.

    Args:
        model: what `load` opened.
        images: the images.
        labels: the labels in the order of the scores, or a file with one a line, or `imagenet`;
            None takes those in the graph's note, else a file beside it, else those of ImageNet for
            its networks, else the numbers of the classes.
        top_k: how many labels to give for each image.
        running: how the graph is run.

    Raises:
        InputError: the graph has no scores, or the labels do not fit them, or are not those of
            its note.

    Example:
        >>> import numpy as np, retrain_tools as rt
        >>> grey = np.full((40, 30, 3), 128, np.uint8)
        >>> names = [f"class {number}" for number in range(1008)]
        >>> [found] = rt.label(rt.load("graph.pb"), grey, names, top_k=2)
        >>> len(found.best)
        2
    """
    frozen = model.frozen()
    return label_images(
        frozen,
        lambda count: labels_of(frozen, count, labels),
        expand_folders(images),
        top_k,
        running=running,
    )


def retrain(
    model: Model | None = None,
    image_dir: str | Path | None = None,
    *,
    features: str | Path | None = None,
    features_tensor: str | None = None,
    output_dir: str | Path = "retrained",
    bottleneck_dir: str | Path | None = None,
    how_many_training_steps: int = 4000,
    learning_rate: float = 0.01,
    testing_percentage: int = 10,
    validation_percentage: int = 10,
    seed: int = 0,
    keep_folder_names: bool = False,
    pooling: str = "avg",
    fine_tuning: FineTuning | None = None,
    resume: bool = False,
    running: RunSettings = DEFAULTS,
) -> RetrainResult:
    """Train a new last layer on folders of images, or on features, as the script `retrain` does.

    Args:
        model: what `load` opened; with `features`, None trains the layer alone (`head`).
        image_dir: one folder of images per class.
        features: in place of images: a file of `fetch_tensors`, or the parts of `fetch_many`.
        features_tensor: which of its tensors; None for the bottleneck's, or the only one.
        output_dir: folder for the results.
        bottleneck_dir: the cache of bottlenecks; None for OUTPUT_DIR/bottlenecks.
        how_many_training_steps: steps of gradient descent.
        learning_rate: its step size.
        testing_percentage: of the images, for the final test.
        validation_percentage: of the images, for validation.
        seed: of everything random; the same seed gives the same result.
        keep_folder_names: take folder names as labels as they are, not in lower case.
        pooling: how a map becomes a vector: `avg`, `max`, `flatten` or `none` (all values).
        fine_tuning: of the layers after a tensor, once the last one is trained; None for none.
        resume: go on from OUTPUT_DIR/checkpoint.npz, which a training that was stopped left.
        running: how the graph is run.

    Returns:
        `head`, `labels`, `figures` (metrics.json), `test`, `misclassified`, `output_graph`: a file.

    Raises:
        InputError: there are no two classes, a result cannot be written, or no layer be trained.

    Example:
        >>> import retrain_tools as rt
        >>> rt.retrain(rt.load("graph.pb"), "photos", how_many_training_steps=20).labels
        ['disc', 'square']
    """
    place = str(bottleneck_dir or Path(output_dir) / "bottlenecks")
    settings = settings_in(
        str(output_dir), image_dir=str(image_dir or ""), features=str(features or ""),
        cache=CacheOptions(place, pooling=pooling, running=running),
        training=TrainingSettings(how_many_training_steps, learning_rate, seed=seed),
        testing_percentage=testing_percentage, validation_percentage=validation_percentage,
        keep_folder_names=keep_folder_names, fine_tuning=fine_tuning, resume=resume,
        features_tensor=features_tensor, split_key="basename" if features else "path",
    )  # fmt: skip
    return _retrain(model, settings)


def _retrain(model: Model | None, settings: RetrainSettings) -> RetrainResult:
    if settings.features:
        stored = find_features(settings, model is not None)
        frozen = None if model is None else model.frozen()
        return retrain_on_features(frozen, settings, stored)
    if model is None:
        raise InputError("Images take a model; without one, name features to train on.")
    splits = find_classes(settings)
    return retrain_on(model.frozen(), settings, splits)


def freeze(model: Model, path: str | Path) -> Path:
    """Write a model as a frozen GraphDef that every tool here takes, and TensorFlow 1 as well.

    Where the scaling of pixels is known, the graph takes encoded images as well.

    Args:
        model: what `load` opened.
        path: the file to write.

    Returns:
        The file.

    Raises:
        InputError: it cannot be frozen, or would be larger than a GraphDef can be.

    Example:
        >>> import retrain_tools as rt
        >>> rt.load(rt.freeze(rt.load("graph.pb"), "frozen.pb")).description
        'frozen GraphDef'
    """
    write_frozen(model, str(path))
    return Path(path)


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
