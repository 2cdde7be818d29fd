"""The table of kinds: recognised, listed, summed up, shapes known, frozen or the reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.sources.corpus import CLASSES, SIZE, close, real

IMAGES = (None, SIZE, SIZE, 3)
NOT_ALONE = (
    "the values of its 15 variables are in a checkpoint that is not beside it "
    "(model.ckpt.index); copy it there."
)
NO_VALUES = (
    "its variables have no values: a GraphDef does not hold them; pass the .meta file beside the "
    "checkpoint, or the SavedModel, that belongs to it."
)
UNKNOWN = "No slim network's checkpoint begins as 'net/bn/b' does; names of known networks"
WEIGHTS = (
    "it has weights but does not say what is computed with them; load them into the model with "
    "Keras, save that as .keras, and pass it."
)
LITE = (
    "a TensorFlow Lite model has no GraphDef, and its operators are not TensorFlow's; pass the "
    "graph it was made from."
)
SLIM = "checkpoint of slim's mobilenet_v1"


class Row(NamedTuple):
    """A line of the table of kinds.

    Attributes:
        kind: how it is recognised; VERSION stands for that of TensorFlow.
        tensor: one that is listed, with its shape.
        told: input, one of the outputs, and bottleneck of the summary; None without a graph.
        why_not: how the reason begins that it cannot be frozen; "" if it can be.
    """

    kind: str
    tensor: tuple[str, tuple[int | None, ...]]
    told: tuple[str, str, str | None] | None
    why_not: str = ""


GRAPH = ("Mean:0", (None, 8)), ("input:0", "final_result:0", "Mean:0")
TRAINED = ("net/fc/MatMul:0", (None, CLASSES + 1)), ("input:0", "net/probs:0", "net/pool:0")
SLIM_NET = (
    ("MobilenetV1/Conv2d_13_pointwise/Relu6:0", (None, 7, 7, 256)),
    (
        "DecodeJpeg/contents:0",
        "MobilenetV1/Predictions/Reshape_1:0",
        "MobilenetV1/Logits/AvgPool_1a/AvgPool:0",
    ),
)
SERVED = "SavedModel of TensorFlow VERSION, tags serve"
KERAS = "toy_1/probs_1/Softmax:0", "toy_1/pool_1/Mean:0"
KERAS_NET = ("toy_1/pool_1/Mean:0", (None, 8)), ("pixels:0", *KERAS)
KINDS = {
    "graph": Row("frozen GraphDef", *GRAPH),
    "text graph": Row("frozen GraphDef", *GRAPH),
    "graph with variables": Row(
        "GraphDef with variables", ("input:0", IMAGES), TRAINED[1], NO_VALUES
    ),
    "meta": Row("MetaGraph of TensorFlow VERSION, with its checkpoint", *TRAINED),
    "meta alone": Row(
        "MetaGraph of TensorFlow VERSION, without its checkpoint",
        ("input:0", IMAGES),
        TRAINED[1],
        NOT_ALONE,
    ),
    "checkpoint": Row("checkpoint of variables", *TRAINED),
    "checkpoint v1": Row("checkpoint of variables", *TRAINED),
    "checkpoint alone": Row(
        "checkpoint of variables", ("net/fc/weights", (8, CLASSES + 1)), None, UNKNOWN
    ),
    "slim v2": Row(SLIM, *SLIM_NET),
    "slim v1": Row(SLIM, *SLIM_NET),
    "slim tgz": Row(f"{SLIM}, in v1.tar.gz", *SLIM_NET),
    "saved model 1": Row(SERVED, TRAINED[0], ("images:0", *TRAINED[1][1:])),
    "hub 1": Row(
        "TF1 Hub module, tags (none)", TRAINED[0], ("hub_input/images:0", *TRAINED[1][1:])
    ),
    "saved model 2": Row(
        "SavedModel (TF2 Hub interface) of TensorFlow VERSION, tags serve",
        ("serving_default_pixels:0", IMAGES),
        ("serving_default_pixels:0", "add:0", "add:0"),
    ),
    "hub 2": Row(
        "SavedModel (TF2 Hub interface) of TensorFlow VERSION, tags serve",
        ("inputs:0", IMAGES),
        ("inputs:0", "add:0", "add:0"),
    ),
    "keras": Row("Keras model (.keras)", *KERAS_NET),
    "keras h5": Row("Keras model (HDF5)", *KERAS_NET),
    "keras weights": Row(
        "Keras weights (HDF5)", ("layers/conv2d/vars/0", (3, 3, 3, 8)), None, WEIGHTS
    ),
    "keras export": Row(SERVED, KERAS_NET[0], ("serving_default_pixels:0", *KERAS)),
    "tflite": Row(
        "TensorFlow Lite model, schema version 3",
        ("serving_default_pixels:0", IMAGES),
        None,
        LITE,
    ),
    "tgz": Row("frozen GraphDef, in a.tgz", *GRAPH),
    "zip": Row("frozen GraphDef, in a.zip", *GRAPH),
    "gz": Row("frozen GraphDef, in frozen.pb.gz", *GRAPH),
    "inside": Row("frozen GraphDef, in a.tgz", *GRAPH),
}


def told(network: rt.Model) -> tuple[str, list[str], str | None]:
    """The input, the outputs and the best bottleneck of the summary."""
    summary = network.summary()
    best = summary.bottlenecks[0].tensor if summary.bottlenecks else None
    return summary.inputs[0].tensor.name, [o.tensor.name for o in summary.outputs], best


def test_a_signature_is_only_spoken_of_where_there_is_one(kinds: Mapping[str, Path]) -> None:
    def reasons(kind: str) -> list[str]:
        return [guess.why for guess in rt.load(kinds[kind]).summary().outputs]

    for kind in ("saved model 1", "saved model 2", "hub 1"):
        assert any(why.startswith("what the signature calls '") for why in reasons(kind))
    assert any(why.startswith("what the function calls '") for why in reasons("hub 2"))
    assert reasons("keras h5") == reasons("keras") == ["what the model calls 'probs'"]
    for kind in ("graph", "meta", "slim v2"):
        assert not any("calls" in why for why in reasons(kind))


def test_the_table_has_every_kind(kinds: Mapping[str, Path]) -> None:
    assert list(KINDS) == list(kinds)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind(
    name: str, kinds: Mapping[str, Path], model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, path = KINDS[name], kinds[name]
    network = rt.load(path, model_dir=model_dir)
    assert network.description == row.kind.replace("VERSION", tf.__version__)
    assert repr(network) == f"<Model {path}: {network.description}>"
    assert {tensor.name: tensor.shape for tensor in network.tensors()}[row.tensor[0]] == (
        row.tensor[1]
    )
    if row.told is None:
        with pytest.raises(InputError) as error:
            network.summary()
        message = f"{path} ({network.description}) has no graph to sum up: {row.why_not}"
        assert str(error.value).startswith(message)
    else:
        entrance, outputs, best = told(network)
        assert (entrance, best) == (row.told[0], row.told[2])
        assert row.told[1] in outputs
        assert network.summary().kind == network.description
    if row.why_not:
        with pytest.raises(InputError) as error:
            network.frozen()
        assert str(error.value).startswith(f"{path} cannot be frozen: {row.why_not}")
    else:
        assert row.told is not None
        spec = network.frozen().spec
        assert spec.bottleneck == row.told[2]
        assert row.told[0] in (spec.pixel_input, spec.encoded_input)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("file", "entrance", "output", "bottleneck", "count"),
    [
        (
            "inception-2015-12-05/near_real_graph_def.pb",
            "DecodeJpeg/contents:0",
            "softmax:0",
            ("pool_3/_reshape:0", (1, 2048)),
            1004,
        ),
        (
            "mobilenet_v1_0.25_128/frozen_graph.pb",
            "input:0",
            "MobilenetV1/Predictions/Reshape_1:0",
            ("MobilenetV1/Predictions/Reshape:0", (1, 1001)),
            555,
        ),
        (
            "mobilenet_v1_0.25_128/quantized_graph.pb",
            "input:0",
            "MobilenetV1/Predictions/Reshape_1:0",
            ("MobilenetV1/Predictions/Reshape:0", (1, 1001)),
            180,
        ),
        (
            "mobilenet_v1_0.25_128/retrained_graph.pb",
            "input:0",
            "final_result:0",
            ("MobilenetV1/Predictions/Reshape:0", (1, 1001)),
            560,
        ),
    ],
)
def test_real_graphs(
    file: str,
    entrance: str,
    output: str,
    bottleneck: tuple[str, tuple[int, ...]],
    count: int,
) -> None:
    network = rt.load(real(file))
    assert network.description == "frozen GraphDef"
    assert len(network.tensors()) == count
    [found] = network.tensors(f"^{re.escape(bottleneck[0])}$")
    assert (found.dtype, found.shape) == ("float32", bottleneck[1])
    inputs, outputs, best = told(network)
    assert (inputs, outputs[0], best) == (entrance, output, bottleneck[0])
    spec = network.frozen().spec
    assert (spec.bottleneck, spec.final) == (bottleneck[0], output)


def test_a_mobilenet_of_keras(tmp_path: Path) -> None:
    """The summary's names are right: they give what Keras's layers give."""
    keras.utils.set_random_seed(5)
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=7)
    model.export(tmp_path / "model", verbose=False)
    network = rt.load(tmp_path / "model")
    entrance, outputs, best = told(network)
    summary = network.summary()
    assert entrance == summary.inputs[0].tensor.name
    assert summary.inputs[0].why == "pixels: a placeholder of the type and shape of images"
    assert summary.image_size == (96, 96)
    assert summary.parameters == pytest.approx(model.count_params(), rel=0.01)
    assert best is not None
    pooled = next(x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D))
    both = keras.Model(model.input, [pooled.output, model.output])
    path = tmp_path / "a.png"
    image = tiny.photo(96, 96, seed=4)
    image.save(path)
    features = rt.fetch(network, [best, outputs[0]], path)
    # Keras's own preparation of images for this network.
    scaled = keras.applications.mobilenet_v2.preprocess_input(np.asarray(image, np.float32)[None])
    for mine, theirs in zip(features.values.values(), both(scaled), strict=True):
        assert close(mine, theirs.numpy())
    assert network.frozen().spec.final == outputs[0]
