"""A built Keras application to a frozen graph that takes RGB pixels of 0 to 255."""

from __future__ import annotations

from typing import Any

from retrain_tools.graphdef.bottleneck import bottleneck_candidates
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.spec import NETWORK_INPUT
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.applications.application import PIXELS, Application
from retrain_tools.sources.applications.building import Built
from retrain_tools.sources.freezing.traced import traced
from retrain_tools.sources.readers.keras_library import keras_3, keras_errors

RESIZE = "nearest"
"""How `keras.utils.load_img` and `ImageDataGenerator` resize, unless they are told otherwise."""


def freeze_application(built: Built, application: Application) -> Any:
    """Return the frozen graph of a network, its own `preprocess_input` included.

    `rgb:0` takes pixels, float32 [N, h, w, 3]; `network_input:0` is what `preprocess_input` makes
    of them. The graph's note has every layer's output as an end point, by the layer's name. Its
    bottleneck is what the classifier takes; without one, the last layer's feature map, not pooled.

    Raises:
        InputError: the graph cannot be frozen.
    """
    where, model = application.where, built.model
    layers = {layer.name: layer.output for layer in model.layers}
    every = keras_3(where).Model(model.inputs, list(layers.values()), name=model.name)

    def infer(pixels: Any) -> Any:
        with tf.name_scope("preprocess_input"):
            prepared = built.preprocess(pixels)
        return every(tf.identity(prepared, NETWORK_INPUT), training=False)

    spec = tf.TensorSpec(model.input_shape, tf.float32, PIXELS)
    with keras_errors(f"{where} cannot be run for its graph"):
        frozen = traced(infer, [spec], list(layers), model.variables, where).freeze(where)
    pixels, end_points = frozen.inputs[PIXELS], dict(frozen.outputs)
    last = next(name for name, output in layers.items() if output is model.outputs[0])
    bottleneck = end_points[last]
    if application.include_top:
        bottleneck = bottleneck_candidates(frozen.graph_def, pixels)[0].tensor
    note = Note(
        source=application.source,
        preprocess=RESIZE,
        mean=0.0,
        std=1.0,
        bottleneck=bottleneck,
        final=end_points[last] if application.include_top else None,
        end_points=end_points,
    )
    write_note(frozen.graph_def, pixels, note)
    return frozen.graph_def
