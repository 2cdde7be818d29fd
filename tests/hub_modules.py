"""Image modules in TensorFlow Hub's layouts, of a small MobileNet v2 or a smaller network."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from retrain_tools.quiet_tensorflow import tf

SIDE, DEPTH = 64, 1280
# hub.ImageModuleInfo(default_image_size={height: 64, width: 64}) as hub.attach_message keeps it
# (tensorflow_hub 0.12: module_attachment.proto, image_module_info.proto).
ATTACHED = b"\x0a\x11image_module_info\x12\x06\x0a\x04\x08\x40\x10\x40"


@functools.cache
def mobilenet() -> Any:
    """MobileNet v2 of width 0.35 with seeded weights, statistics of batch norms among them."""
    tf_keras.utils.set_random_seed(1)
    network = tf_keras.applications.MobileNetV2(
        (None, None, 3), 0.35, include_top=False, weights=None, pooling="avg"
    )
    norms = tf_keras.layers.BatchNormalization
    for layer in network.layers:
        if isinstance(layer, norms):
            layer.momentum = 0.0  # so that their statistics become those of one batch
    photos = np.random.default_rng(2).uniform(-1, 1, (8, SIDE, SIDE, 3)).astype(np.float32)
    network(photos, training=True)
    return network


def write_keras_model(folder: Path) -> Path:
    """A feature vector as `model.save` of Keras 2 writes it, for pixels of 0 to 1 as Hub's are."""
    images = tf_keras.Input((SIDE, SIDE, 3), name="images")
    features = mobilenet()(images * 2.0 - 1.0)
    model = tf_keras.Model(images, features, name="model")
    spec = tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="images")
    serve = tf.function(lambda images: {"features": model(images)}, input_signature=[spec])
    # Without a trace of every single layer, which takes Keras ten seconds to save.
    model.save(folder, save_format="tf", save_traces=False, signatures=serve)
    return folder


def write_module(folder: Path, side: int | None, network: Any = None) -> Path:
    """A feature vector with the interface that Hub asks of reusable SavedModels of TensorFlow 2."""
    network = mobilenet() if network is None else network

    @tf.function
    def call(inputs: Any, training: bool = False, batch_norm_momentum: float = 0.99) -> Any:
        del batch_norm_momentum
        return network(inputs * 2.0 - 1.0, training=training)

    spec = tf.TensorSpec([None, side, side, 3], tf.float32)
    for training in (True, False):
        call.get_concrete_function(spec, training=training)
    module = tf.train.Checkpoint()  # an object that keeps what it is given
    module.__call__ = call
    module.variables = list(network.variables)
    module.trainable_variables = list(network.trainable_variables)
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder))
    return folder


def write_tf1_module(folder: Path, attached: bool = True) -> Path:
    """A module of hub.Module's time, which says the size of its images in a message of its own."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(folder))
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(3)
        images = v1.placeholder(tf.float32, [None, None, None, 3], "hub_input/images")
        scaled = v1.subtract(v1.multiply(images, 2.0, "hub_input/Mul"), 1.0, "hub_input/Sub")
        with v1.variable_scope("Net"):
            kernel = v1.get_variable("Conv/weights", [3, 3, 3, 16])
            first = tf.nn.relu6(tf.nn.conv2d(scaled, kernel, 2, "SAME", name="Conv/Conv2D"))
            kernel = v1.get_variable("Last/weights", [3, 3, 16, 24])
            last = tf.nn.relu6(tf.nn.conv2d(first, kernel, 2, "SAME", name="Last/Conv2D"))
            pooled = tf.reduce_mean(last, [1, 2], keepdims=True, name="AvgPool")
            vector = tf.squeeze(pooled, [1, 2], name="SpatialSqueeze")
        outputs = {"default": vector, "Net/Last": last}
        if attached:
            v1.add_to_collection("hub_module_attachments", ATTACHED)
        info = v1.saved_model.build_tensor_info
        stated = {
            name: v1.saved_model.build_signature_def(
                {"images": info(images)}, {key: info(tensor) for key, tensor in ends.items()}
            )
            for name, ends in {
                "default": {"default": vector},
                "image_feature_vector": outputs,
            }.items()
        }
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, [], stated)
    builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # ModuleDef, format version 3
    return folder


def features(folder: Path, pixels: Any) -> Any:
    """What a module itself gives for pixels [N, h, w, 3] of 0 to 1."""
    is_tf1 = (folder / "tfhub_module.pb").exists()
    module = tf.saved_model.load(str(folder), tags=[] if is_tf1 else None)
    if is_tf1:
        return module.signatures["default"](tf.constant(pixels))["default"].numpy()
    if module.signatures:
        (values,) = module.signatures["serving_default"](tf.constant(pixels)).values()
        return values.numpy()
    return module.__call__(tf.constant(pixels), False, 0.99).numpy()
