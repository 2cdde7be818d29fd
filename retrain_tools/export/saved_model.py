"""A graph as a SavedModel for TensorFlow Serving: encoded images or prepared pixels, in batches.

1. `serving_default` takes `image_bytes`, string [N]: encoded images, of any sizes. The image side
   is the graph's own.
2. `pixels` takes `pixels`, float32 [N, h, w, channels], as the graph's pixel input does.
3. Both give every output for each image; with labels, `labels` too, string [N, classes], each row
   in the order of the scores. The labels are also an asset, `labels.txt`.
4. `one_image` takes a single encoded image. A graph decodes one image, so this is what the tools
   of this package open when the SavedModel is their `--graph`.
5. Old batch norms are folded, because TensorFlow 2 functions refuse them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.engine.session import first_sentence
from retrain_tools.errors import InputError, argument
from retrain_tools.export.body import PIXELS, Body, BodyFunction, output_keys
from retrain_tools.export.comparing_with_source import Sample
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.network_functions import NetworkFunctions
from retrain_tools.export.pixel_scaling import scaling_of, scaling_text
from retrain_tools.graphdef.navigate import node_name, nodes_by_name
from retrain_tools.graphdef.note import Note, read_note, write_labels, write_note
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.leftovers import owned_folder
from retrain_tools.quiet_tensorflow import system_errors, tf

SERVING, ONE_IMAGE = "serving_default", "one_image"
"""The signatures, beside the one for pixels, which has the name of its input."""

_LABELS_FILE = "labels.txt"


def check_path(path: str, name: str = "output") -> None:
    """Raise InputError if a folder cannot take a new SavedModel: it is a file, or not empty.

    `name` is the argument that names it, for the message.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{argument(name)}={path} exists and is not an empty folder.")
    files.check_writable(folder.parent)


def next_version(folder: str) -> str:
    """Return FOLDER/1, or the number after the highest one there: TensorFlow Serving's way."""
    path = Path(folder)
    names = [child.name for child in path.iterdir()] if path.is_dir() else []
    numbers = [int(name) for name in names if re.fullmatch(r"\d+", name)]
    return str(path / str(max(numbers, default=0) + 1))


def write(
    frozen: FrozenGraph, path: str, tensors: Sequence[str], options: ExportOptions
) -> dict[str, str]:
    """Write the SavedModel, and return what is worth knowing of it.

    Raises:
        InputError: see `write_saved_model`.
    """
    keys = output_keys(frozen, tensors)
    write_saved_model(path, frozen, keys, options.labels)
    spec = frozen.spec
    height, width = spec.image_size
    gives = ", ".join(f"{key} ({tensor})" for key, tensor in keys.items())
    shape = f"[N, {height}, {width}, {spec.channels}]"
    return {
        "TensorFlow": tf.version.VERSION,
        SERVING: f"image_bytes, string [N]: encoded images; gives {gives}",
        PIXELS: f"pixels, float32 {shape}, {scaling_text(frozen)}; gives the same",
        "Labels": f"{len(options.labels)}, also in assets/{_LABELS_FILE}"
        if options.labels
        else "none were given",
    }


def write_saved_model(
    folder: str, frozen: FrozenGraph, outputs: Mapping[str, str], labels: Sequence[str] = ()
) -> None:
    """Write a SavedModel; see the module.

    Args:
        folder: missing or empty.
        frozen: the graph.
        outputs: full names of tensors by their keys in the signatures; the first are the scores.
        labels: of the classes, in the order of the scores; empty for none.

    Raises:
        InputError: TensorFlow 2 refuses the graph, or there are not as many labels as scores.
    """

    def save(scratch: Path, to: str) -> None:
        _save(scratch, to, frozen, outputs, labels)

    _write(folder, save, str(frozen.path))


def write_body(folder: str, body: Body, takes: Sequence[Any], where: str) -> dict[str, str]:
    """Write a SavedModel whose one signature, `serving_default`, is a body.

    Args:
        folder: missing or empty.
        body: what to write.
        takes: a TensorSpec for each input, named by its key.
        where: the graph's file, for messages.

    Returns:
        What is worth knowing of it.

    Raises:
        InputError: TensorFlow 2 refuses the graph.
    """

    def save(_: Path, to: str) -> None:
        module = tf.Module()
        module.function = BodyFunction(module, body).traced(takes)
        tf.saved_model.save(module, to, signatures={SERVING: module.function})

    _write(folder, save, where)
    return {"TensorFlow": tf.version.VERSION, "Signature": SERVING}


def _write(folder: str, save: Callable[[Path, str], None], where: str) -> None:
    """Have `save` write a SavedModel into a folder that is not seen, and put it in its place."""
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    # TensorFlow Serving watches the folder of versions: it must never see half of one.
    with owned_folder(target.parent) as scratch:
        finished = Path(scratch, "model")
        try:
            with system_errors(target):
                save(Path(scratch), str(finished))
        except (ValueError, tf.errors.OpError) as error:
            reason = first_sentence(error)
            raise InputError(f"{where} cannot become a SavedModel: {reason}") from error
        if target.exists():
            target.rmdir()
        finished.replace(target)


def _save(
    scratch: Path,
    folder: str,
    frozen: FrozenGraph,
    outputs: Mapping[str, str],
    labels: Sequence[str],
) -> None:
    module = tf.Module()
    network = NetworkFunctions(module, frozen, outputs)
    first = next(iter(outputs))
    _note(network.body, frozen, outputs[first], labels)
    if labels:
        listed = scratch / _LABELS_FILE
        listed.write_bytes("".join(f"{n}\n" for n in labels).encode("utf-8", "surrogateescape"))
        module.labels = tf.saved_model.Asset(str(listed))
        names = tf.constant([name.encode("utf-8", "surrogateescape") for name in labels])

    def given(pixels: Any) -> dict[str, Any]:
        values = network.values(pixels)
        if not labels:
            return values
        scores = values[first].shape[-1]
        if scores not in (None, len(labels)):
            raise InputError(
                f"{argument('labels')} are {len(labels)}, but {frozen.path} gives {scores} scores."
            )
        shown = tf.tile(names[tf.newaxis], [tf.shape(values[first])[0], 1])
        return {**values, "labels": shown}

    def of_encoded(image_bytes: Any) -> dict[str, Any]:
        signature = tf.TensorSpec(network.image_shape, tf.float32)
        return given(tf.map_fn(network.prepare, image_bytes, fn_output_signature=signature))

    def of_one(image_bytes: Any) -> dict[str, Any]:
        return {first: network.values(network.batch_of_one(image_bytes))[first]}

    takes = {
        SERVING: (of_encoded, tf.TensorSpec([None], tf.string, "image_bytes")),
        PIXELS: (given, tf.TensorSpec([None, *network.image_shape], tf.float32, "pixels")),
        ONE_IMAGE: (of_one, tf.TensorSpec([], tf.string, "image_bytes")),
    }
    module.functions = {
        name: tf.function(function, input_signature=[taken], autograph=False)
        for name, (function, taken) in takes.items()
    }
    tf.saved_model.save(module, folder, signatures=dict(module.functions))


def _note(body: Any, frozen: FrozenGraph, scores: str, labels: Sequence[str]) -> None:
    """Write down in the body what is known of the network, for when it is opened again."""
    write_labels(body, scores, labels)
    spec, own, scaling = frozen.spec, read_note(frozen.graph_def), scaling_of(frozen)
    if scaling is None:  # which a note has to tell
        return
    there = nodes_by_name(body)
    bottleneck = spec.bottleneck if node_name(spec.bottleneck) in there else None
    note = Note(
        source=own.source if own else Path(frozen.path).name,
        preprocess=spec.resize or (own.preprocess if own else "resize"),
        mean=scaling[0],
        std=scaling[1],
        bottleneck=bottleneck,
        final=scores if scores == spec.final else None,
        end_points={},
        scaled_by="the graph it was exported from",
        image_size=spec.image_size,
    )
    write_note(body, scores, note)


def run(
    path: str, sample: Sample, frozen: FrozenGraph, tensors: Sequence[str]
) -> Iterator[tuple[str, str, Any]]:
    """Yield what the SavedModel gives: the signature and output, the tensor, and its values."""
    signatures = tf.saved_model.load(path).signatures
    keys = output_keys(frozen, tensors)
    given = signatures[PIXELS](pixels=tf.constant(sample.pixels))
    for key, tensor in keys.items():
        yield f"{PIXELS}, {key}", tensor, given[key].numpy()
    if sample.is_decoded_by_tensorflow:
        given = signatures[SERVING](image_bytes=tf.constant(sample.encoded))
        for key, tensor in keys.items():
            yield f"{SERVING}, {key}", tensor, given[key].numpy()


def run_on_arrays(path: str, feeds: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return the outputs of a SavedModel of `write_body`, all by their keys."""
    given = tf.saved_model.load(path).signatures[SERVING](**feeds)
    return {key: given[key].numpy() for key in outputs}
