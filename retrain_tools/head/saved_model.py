"""The retrained network as a SavedModel that takes a batch of encoded images."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.plan import plan_body
from retrain_tools.engine.session import first_sentence
from retrain_tools.engine.shapes import tensor_shapes
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.export import add_pooling
from retrain_tools.head.training import Head
from retrain_tools.leftovers import owned_prefix
from retrain_tools.quiet_tensorflow import tf

_HELD_AS_VARIABLE = 1 << 16  # bytes


def check_folder(folder: str) -> None:
    """Raise InputError if `folder` cannot take a new SavedModel: it is a file, or not empty."""
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{argument('saved_model_dir')}={folder} exists and is not an empty folder."
        )


def next_version(folder: str) -> str:
    """Return FOLDER/1, or the number after the highest one there: TensorFlow Serving's way."""
    path = Path(folder)
    names = [child.name for child in path.iterdir()] if path.is_dir() else []
    numbers = [int(name) for name in names if re.fullmatch(r"\d+", name)]
    return str(path / str(max(numbers, default=0) + 1))


def write_saved_model(
    folder: str, frozen: FrozenGraph, head: Head, labels: Sequence[str], pooling: str = "avg"
) -> None:
    """Write a SavedModel with one signature.

    `serving_default` takes `image_bytes`, string [N], encoded images, and gives `scores`,
    float32 [N, classes], and `labels`, string [N, classes], each row in the order of the scores.
    The image side is the graph's own; the body has its old batch norms folded, because
    TensorFlow 2 functions refuse them. A bottleneck of rank above 2 is pooled.

    The folder is missing or empty, the labels are in the order of the head's classes.

    Raises:
        InputError: TensorFlow 2 refuses the graph.
    """
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    # TensorFlow Serving watches the folder of versions: it must never see half of one.
    with tempfile.TemporaryDirectory(prefix=owned_prefix(), dir=target.parent) as scratch:
        finished = Path(scratch, "model")
        try:
            _save(str(finished), frozen, head, labels, pooling)
        except (ValueError, tf.errors.OpError) as error:
            reason = first_sentence(error)
            raise InputError(f"{frozen.path} cannot become a SavedModel: {reason}") from error
        if target.exists():
            target.rmdir()
        finished.replace(target)


def _save(
    folder: str, frozen: FrozenGraph, head: Head, labels: Sequence[str], pooling: str
) -> None:
    module = tf.Module()
    spec, allowed = frozen.spec, frozen.allow_unsafe_graph
    side = image_side(frozen.graph_def, spec)
    light, weights = plan_body(frozen.graph_def, spec, [spec.bottleneck])
    shape = tensor_shapes(light).get(spec.bottleneck)
    vector = add_pooling(light, spec.bottleneck, shape, pooling, len(head.weights))
    for graph_def in (side.graph_def, light):
        graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
    # A variable takes TensorFlow some milliseconds, however small it is.
    large = {name: array for name, array in weights.items() if array.nbytes >= _HELD_AS_VARIABLE}
    module.weights = {n: tf.Variable(w, trainable=False, name=n) for n, w in large.items()}
    module.head = [tf.Variable(value) for value in (head.weights, head.biases)]
    names = tf.constant(list(labels))

    def prepare(encoded: Any) -> Any:
        fed = {node_name(side.encoded): encoded}
        [pixels] = import_light(side.graph_def, fed, [side.pixels], allow_unsafe_graph=allowed)
        return tf.reshape(pixels, [*spec.image_size, spec.channels])

    def classify(image_bytes: Any) -> dict[str, Any]:
        signature = tf.TensorSpec([*spec.image_size, spec.channels], tf.float32)
        pixels = tf.map_fn(prepare, image_bytes, fn_output_signature=signature)
        held = {name: module.weights.get(name, array) for name, array in weights.items()}
        tensors = {name: tf.convert_to_tensor(value) for name, value in held.items()}
        tensors[node_name(spec.pixel_input)] = pixels
        fetches = [full_name(vector)]
        [values] = import_light(light, tensors, fetches, allow_unsafe_graph=allowed)
        kernel, biases = module.head
        scores = tf.nn.softmax(tf.reshape(values, [-1, len(head.weights)]) @ kernel + biases)
        shown = tf.tile(names[tf.newaxis], [tf.shape(scores)[0], 1])
        return {"scores": scores, "labels": shown}

    images = tf.TensorSpec([None], tf.string, "image_bytes")
    module.classify = tf.function(classify, input_signature=[images], autograph=False)
    tf.saved_model.save(module, folder, signatures={"serving_default": module.classify})
