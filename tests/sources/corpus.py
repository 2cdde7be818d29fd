"""One small real file of each kind, written by TensorFlow and Keras, with its numbers."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from retrain_tools.quiet_tensorflow import tf

SIZE, CLASSES = 12, 5
_DATA = Path(__file__).resolve().parents[2] / "../shared/data"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Written:
    """A file, and what its program computed before it was written."""

    path: Path
    images: npt.NDArray[Any]
    results: Arrays  # by output key, or tensor name


def real(path: str) -> Path:
    """A file of the real material, or a skipped test where that is not at hand."""
    file = (_DATA / path).resolve()
    if not file.exists():
        pytest.skip(f"real material is not here: {file}")
    return file


def random_images(count: int = 2, size: int = SIZE) -> npt.NDArray[Any]:
    return np.random.default_rng(7).random((count, size, size, 3), np.float32)


def run(frozen: Any, fed: npt.NDArray[Any], outputs: list[str], **feeds: Any) -> list[Any]:
    """Run a FrozenSource in TensorFlow as it stands."""
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        theirs = v1.GraphDef.FromString(frozen.graph_def.SerializeToString())
        v1.import_graph_def(theirs, name="")
        names = [frozen.outputs.get(o) or o for o in outputs]
        return session.run(names, {next(iter(frozen.inputs.values())): fed, **feeds})


def close(mine: Any, theirs: Any) -> bool:
    """Within 1e-5 of the largest value."""
    return bool(np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max())


# TensorFlow 1


def network(images: Any, training: bool, resource: bool) -> tuple[Any, Any, Any]:
    """Convolution, batch norm with moving averages, partitioned weights and a partitioned table."""
    v1 = tf.compat.v1
    uniform = v1.random_uniform_initializer(0.5, 1.5)
    with v1.variable_scope("net", use_resource=resource):
        kernel = v1.get_variable("conv/weights", [3, 3, 3, 8])
        h = tf.nn.conv2d(images, kernel, 1, "SAME", name="conv/Conv2D")
        gamma, beta = (v1.get_variable(f"bn/{n}", [8], initializer=uniform) for n in "gb")
        mean, var = (
            v1.get_variable(f"bn/{n}", [8], initializer=uniform, trainable=False) for n in "mv"
        )
        if training:
            h, m, _ = v1.nn.fused_batch_norm(h, gamma, beta, is_training=True)
            with tf.control_dependencies([v1.assign(mean, mean * 0.9 + m * 0.1)]):
                h = tf.identity(h, name="bn/out")
        else:
            h, _, _ = v1.nn.fused_batch_norm(h, gamma, beta, mean, var, is_training=False)
        pooled = tf.reduce_mean(tf.nn.relu(h), [1, 2], name="pool")
        halves = v1.fixed_size_partitioner(2, axis=1)
        weights = v1.get_variable("fc/weights", [8, CLASSES + 1], partitioner=halves)
        logits = tf.matmul(pooled, tf.convert_to_tensor(weights), name="fc/MatMul")
        thirds = v1.fixed_size_partitioner(3)
        table = v1.get_variable("table", [CLASSES + 1, 4], partitioner=thirds)
        looked_up = tf.nn.embedding_lookup(table, tf.argmax(logits, 1))
        return pooled, tf.nn.softmax(logits, name="probs"), tf.identity(looked_up, name="looked_up")


def write_training(
    folder: Path, resource: bool, v1_format: bool = False, image_name: str = "input"
) -> Written:
    """A training graph with loss, optimizer, summaries and Saver, and its checkpoint."""
    v1 = tf.compat.v1
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default() as graph:
        v1.set_random_seed(1)
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name=image_name)
        labels = v1.placeholder(tf.int64, [None], name="labels")
        _, probs, looked_up = network(images, True, resource)
        logits = graph.get_tensor_by_name("net/fc/MatMul:0")
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        v1.summary.scalar("loss", loss)
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        version = v1.train.SaverDef.V1 if v1_format else v1.train.SaverDef.V2
        saver = v1.train.Saver(write_version=version)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            fed = random_images()
            values = session.run([probs, looked_up], {images: fed})
            prefix = saver.save(session, str(folder / "model.ckpt"))
        tf.io.write_graph(graph.as_graph_def(), str(folder), "unfrozen.pb", as_text=False)
    results = {"net/probs": values[0], "net/looked_up": values[1]}
    return Written(Path(f"{prefix}.meta"), fed, results)


def write_saved_model_1(folder: Path, resource: bool = False, hub: bool = False) -> Written:
    """A SavedModel as TensorFlow 1 wrote them, of two graphs; or a Hub module."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(folder))
    tags = [([], ["train"]) if hub else (["serve"], ["train"])][0]
    name = "default" if hub else "serving_default"
    for training, tag in zip((False, True), tags, strict=True):
        with tf.Graph().as_default(), v1.Session() as session:
            v1.set_random_seed(1)
            scope = "hub_input/images" if hub else "images"
            images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name=scope)
            pooled, probs, looked_up = network(images, training, resource)
            outputs = {"default": pooled, "net/probs": probs, "net/looked_up": looked_up}
            info = v1.saved_model.build_tensor_info
            stated = v1.saved_model.build_signature_def(
                {"images": info(images)}, {k: info(t) for k, t in outputs.items()}
            )
            if not training:
                session.run(v1.global_variables_initializer())
                results = session.run(outputs, {images: random_images()})
                builder.add_meta_graph_and_variables(session, tag, {name: stated})
            else:
                builder.add_meta_graph(tag, {name: stated})
    builder.save()
    if hub:
        (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # format version 3
    return Written(folder, random_images(), results)


def write_frozen(folder: Path) -> Path:
    """A frozen graph, binary and text."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="input")
        h = tf.reduce_mean(tf.nn.conv2d(images, np.ones((3, 3, 3, 8), "f"), 1, "SAME"), [1, 2])
        tf.nn.softmax(tf.matmul(h, np.ones((8, 3), "f")), name="final_result")
        for name, as_text in (("frozen.pb", False), ("frozen.pbtxt", True)):
            tf.io.write_graph(graph.as_graph_def(), str(folder), name, as_text=as_text)
    return folder / "frozen.pb"


# TensorFlow 2


class Module(tf.Module):  # type: ignore[misc]
    """Nested functions, a loop and a conditional that read variables, and a lookup."""

    def __init__(self) -> None:
        super().__init__()
        generator = tf.random.Generator.from_seed(3)
        self.kernel = tf.Variable(generator.normal([3, 4]), name="kernel")
        self.table = tf.Variable(generator.normal([10, 4]), name="table")
        self.regularization_losses = []

    @tf.function
    def layer(self, x: Any) -> Any:
        with tf.name_scope("layer"):
            return tf.matmul(x, self.kernel, name="product")

    @tf.function
    def __call__(self, x: Any, training: bool = False) -> Any:
        if training:
            x = x + 1.0
        h = tf.reshape(self.layer(tf.reshape(x, [-1, 3])), [-1, SIZE * SIZE, 4])
        count = tf.constant(0)
        while count < 3:
            h = h + self.layer(tf.ones([1, 3])) + tf.reduce_sum(self.kernel) * 0.01
            count += 1
        if tf.reduce_sum(h) > 0:
            h = h * tf.reduce_mean(self.kernel)
        else:
            h = h - self.layer(tf.ones([1, 3]))
        return {"features": tf.reduce_mean(h, 1) + tf.gather(self.table, [1]), "whole": h}


def write_saved_model_2(folder: Path, signatures: bool) -> Written:
    module = Module()

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="pixels")])
    def serve(pixels: Any) -> Any:
        return module(pixels)

    inputs = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="inputs")
    for training in (True, False):
        module.__call__.get_concrete_function(inputs, training=training)
    results = {k: v.numpy() for k, v in serve(random_images()).items()}
    tf.saved_model.save(module, str(folder), signatures=serve if signatures else None)
    return Written(folder, random_images(), results)


def keras_model() -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3), name="pixels")
    h = layers.Conv2D(8, 3, activation="relu", name="conv1")(inputs)
    h = layers.BatchNormalization(moving_mean_initializer="uniform", name="bn")(h)
    h = layers.Dropout(0.5)(layers.GlobalAveragePooling2D(name="pool")(h))
    probs = layers.Dense(CLASSES, activation="softmax", name="probs")(h)
    return keras.Model(inputs, probs, name="toy")  # Keras would count its models


def write_keras(folder: Path) -> Mapping[str, Path]:
    """A Keras model in every form that Keras has."""
    model = keras_model()
    paths = {
        "keras": folder / "model.keras",
        "h5": folder / "model.h5",
        "weights": folder / "model.weights.h5",
        "export": folder / "export",
        "tflite": folder / "model.tflite",
    }
    model.save(paths["keras"])
    model.save(paths["h5"])
    model.save_weights(paths["weights"])
    model.export(paths["export"], verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(paths["export"]))
    paths["tflite"].write_bytes(converter.convert())
    np.save(folder / "results.npy", model.predict(random_images(), verbose=0))
    return {**paths, "results": folder / "results.npy"}


# Archives


def tar_of(path: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for child in [path] if path.is_file() else path.iterdir():
            tar.add(child, f"inside/{child.name}")
    return archive


def zip_of(path: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        for child in [path] if path.is_file() else path.rglob("*"):
            packed.write(child, child.name if path.is_file() else child.relative_to(path))
    return archive


def gzip_of(path: Path, archive: Path) -> Path:
    with path.open("rb") as source, gzip.open(archive, "wb") as packed:
        shutil.copyfileobj(source, packed)
    return archive
