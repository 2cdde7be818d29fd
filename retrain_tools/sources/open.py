"""Opens any TensorFlow file: name → path → kind → reader → Model, each step once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.sources.applications.names import PREFIX
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.hub_handles import find_module, is_handle
from retrain_tools.sources.kinds import (
    ARCHIVES,
    Kind,
    Place,
    checkpoint_files,
    checkpoint_name,
    kind_of,
)
from retrain_tools.sources.model import Model

_PREPROCESSINGS = (None, "resize", "slim")


def load(  # noqa: D417  (what belongs together is told together)
    graph: str | Path,
    *,
    model_dir: str | Path | None = None,
    tags: str | Sequence[str] | None = None,
    signature: str | None = None,
    output_node_names: str | Sequence[str] | None = None,
    preprocess: str | None = None,
    weights: str | Path | None = None,
    weights_seed: int | None = None,
    include_top: bool = False,
    resize: str | None = None,
    input_layer: str | None = None,
    output_layer: str | None = None,
    bottleneck_tensor: str | None = None,
    input_height: int | None = None,
    input_width: int | None = None,
    input_mean: float | None = None,
    input_std: float | None = None,
    feed: Mapping[str, Any] | None = None,
    allow_unsafe_graph: bool = False,
) -> Model:
    """Open any TensorFlow file, or a catalogued network by its name. Nothing of it is run.

    Args:
        graph: a file or folder, a checkpoint's prefix, a name of the catalogue, `keras:NAME` for a
            network of `keras.applications`, or the address of a Hub module that tensorflow_hub
            keeps on this computer.
        model_dir: where catalogued networks are kept; None for the user's cache folder.
        tags, signature: of a SavedModel: which of its graphs; and of a MetaGraph too: what to take.
        output_node_names: of a MetaGraph: what to take as its results, by their nodes' names.
        preprocess: `resize` or `slim` for a slim checkpoint; `none` feeds raw pixels of 0 to 255.
        weights: of a Keras application: `imagenet` (the default), `none`, or a file.
        weights_seed: of the random weights that `none` gives; 0 by default.
        include_top: of a Keras application: with its classifier.
        resize: for a graph that takes pixels: Pillow's `nearest`, `bilinear`, `bicubic`, `lanczos`,
            or `tf_bilinear` for that of `tf.image.resize`.
        input_layer, output_layer: the tensors that take the image and give the scores.
        bottleneck_tensor: the tensor to cache and to retrain on.
        input_height, input_width: of the graph's images, in pixels, if it does not say.
        input_mean, input_std: what is subtracted from pixels of 0 to 255, and what they are divided
            by after that, for a graph of unknown scaling.
        feed: values for placeholders beside the images, made constants: `{"keep_prob:0": 1.0}`.
        allow_unsafe_graph: run the graph although what runs of it does more than compute: reads or
            writes files, talks to other computers, calls Python (see `scan`).

    Raises:
        InputError: there is no such file, or it cannot be read.

    Example:
        >>> import retrain_tools as rt
        >>> [tensor.name for tensor in rt.load("graph.pb").tensors("^softmax:|_reshape:")]
        ['pool_3/_reshape:0', 'softmax:0']
    """
    return _load(**locals())


def _load(
    graph: str | Path,
    *,
    model_dir: str | Path | None,
    tags: str | Sequence[str] | None,
    signature: str | None,
    output_node_names: str | Sequence[str] | None,
    preprocess: str | None,
    weights: str | Path | None,
    weights_seed: int | None,
    include_top: bool,
    feed: Mapping[str, Any] | None,
    **overrides: Any,
) -> Model:
    is_raw = preprocess == "none"
    choices = Choices(
        _listed(tags),
        signature,
        None if is_raw else preprocess,
        outputs=_listed(output_node_names),
        weights=None if weights is None else str(Path(weights).expanduser()),
        weights_seed=weights_seed,
        include_top=include_top,
    )
    said = SpecOverrides(raw_pixels=is_raw, feeds=feed or {}, **overrides)
    return dataclasses.replace(open_model(graph, model_dir, choices), overrides=said)


def _listed(names: str | Sequence[str] | None) -> Sequence[str] | None:
    return [names] if isinstance(names, str) else names


def open_model(
    graph: str | Path, model_dir: str | Path | None = None, choices: Choices | None = None
) -> Model:
    """Open a file of any kind, or a catalogued network by its name. Nothing that it holds is run.

    Args:
        graph: a file or folder, a checkpoint's prefix, something inside an archive
            (`network.tar.gz/frozen.pb`), a name or alias of the catalogue (fetched once),
            `keras:NAME` for a network of `keras.applications`, or the address of a Hub module,
            which is looked for where tensorflow_hub keeps it.
        model_dir: where catalogued networks and frozen checkpoints are kept; None for the user's
            cache folder.
        choices: what to take of a file that holds more than one network.

    Raises:
        InputError: there is no such file or name, it is no TensorFlow file or a damaged one, an
            archive or folder holds none or more than one, or something is chosen that it does not
            have.
    """
    choices = choices or Choices()
    if choices.preprocess not in _PREPROCESSINGS:
        raise InputError(f"{argument('preprocess')}={choices.preprocess} must be resize or slim.")
    if str(graph).startswith(PREFIX):
        from retrain_tools.sources.readers.keras_application import open_application

        model = open_application(str(graph), choices, model_dir)
        _refuse_absent(model, choices)
        return dataclasses.replace(model, choices=choices)
    path = Path(graph).expanduser()
    entry = None
    if is_handle(str(graph)):
        path = find_module(str(graph))
    elif not _is_there(path):
        from retrain_tools import catalog  # slow to import, and most graphs are files

        path, entry = catalog.find_graph(str(graph), model_dir)
    try:
        model = _open(Place.of(path), choices, model_dir)
    except OSError as error:  # no right to read it, a disk that fails
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    _refuse_absent(model, choices)
    return dataclasses.replace(model, entry=entry, choices=choices)


def _is_there(path: Path) -> bool:
    """Tell whether a path names a file, a checkpoint's prefix, or something in an archive."""
    if path.exists() or checkpoint_files(path.with_name(checkpoint_name(path.name))):
        return True
    return any(parent.is_file() for parent in path.parents)


def _open(place: Place, choices: Choices, model_dir: str | Path | None) -> Model:
    """Let the reader of its kind open a file; readers are imported when they are needed."""
    path = place.path
    archive = None if path.exists() else next(filter(Path.is_file, path.parents), None)
    if archive is not None:
        kind = kind_of(archive)
        if kind not in ARCHIVES:
            raise InputError(f"No such file: {place}")
        return _open_archive(Place.of(archive), place, kind, choices, model_dir)
    match kind := kind_of(place):
        case Kind.GRAPH_DEF:
            from retrain_tools.sources.readers.graph_def import open_graph_def

            return open_graph_def(place)
        case Kind.META_GRAPH:
            from retrain_tools.sources.readers.meta_graph import open_meta_graph

            return open_meta_graph(place, choices)
        case Kind.SAVED_MODEL:
            from retrain_tools.sources.readers.saved_model import open_saved_model

            return open_saved_model(place, choices)
        case Kind.KERAS | Kind.HDF5:
            from retrain_tools.sources.readers.keras import open_hdf5, open_keras

            return open_keras(place) if kind is Kind.KERAS else open_hdf5(place)
        case Kind.TFLITE:
            from retrain_tools.sources.readers.tflite import open_tflite

            return open_tflite(place)
        case Kind.CHECKPOINT:
            from retrain_tools.sources.readers.checkpoint import open_checkpoint

            return open_checkpoint(place, choices, model_dir)
        case Kind.FOLDER:
            from retrain_tools.sources.search import one_model

            return _open(one_model(place, deep=False), choices, model_dir)
        case _:
            return _open_archive(place, place, kind, choices, model_dir)


def _open_archive(
    archive: Place, place: Place, kind: Kind, choices: Choices, model_dir: str | Path | None
) -> Model:
    """Open what an archive holds: all of it, or the file that `place` names in it."""
    from retrain_tools.sources.archives import unpack
    from retrain_tools.sources.search import one_model

    with contextlib.ExitStack() as stack:
        holder = unpack(archive, kind)
        stack.callback(holder.cleanup)
        folder = Place(Path(holder.name), archive.named)
        inside = place.path.relative_to(archive.path)
        inner = folder / str(inside) if inside.parts else one_model(folder, deep=True)
        model = _open(inner, choices, model_dir)
        stack.pop_all()
    return dataclasses.replace(
        model,
        path=place.named,
        description=f"{model.description}, in {archive.named.name}",
        details={"in the archive": str(inner.path.relative_to(folder.path)), **model.details},
        keeps=[holder, model.keeps],
    )


def _refuse_absent(model: Model, choices: Choices) -> None:
    """Raise InputError where something is chosen that the file does not have."""
    kind = model.description if model.application else model.kind.value
    if choices.tags is not None and model.kind is not Kind.SAVED_MODEL:
        raise InputError(f"{model.path} is a {kind}, which has no tags; leave them out.")
    has_choice = model.kind in (Kind.SAVED_MODEL, Kind.META_GRAPH, Kind.CHECKPOINT)
    if choices.signature is not None and not (has_choice and model.signatures):
        is_graph = model.kind in (Kind.SAVED_MODEL, Kind.META_GRAPH)
        what = model.description if is_graph else kind
        raise InputError(f"{model.path} is a {what}, which has no signatures; leave them out.")
    has_results = model.kind in (Kind.META_GRAPH, Kind.CHECKPOINT) and model.slim_network is None
    if choices.outputs is not None and not has_results:
        raise InputError(
            f"{argument('output_node_names')} is for training graphs (.meta); {model.path} is a "
            f"{model.description}."
        )
    if choices.must_be_slim and model.slim_network is None:
        raise InputError(f"{model.path} is a {model.description}, not a slim checkpoint.")
    for name in ("weights", "weights_seed", "include_top"):
        value = getattr(choices, name)
        if value is not None and value is not False and model.application is None:
            raise InputError(
                f"{argument(name)}={value} is for networks of Keras ({PREFIX}InceptionV3); "
                f"{model.path} is a {model.description}."
            )
    for name in ("preprocess", "architecture"):
        value = getattr(choices, name)
        if value is not None and model.slim_network is None:
            raise InputError(
                f"{argument(name)}={value} is for slim checkpoints; {model.path} is a graph, which "
                "has its own way of preparing images."
            )
