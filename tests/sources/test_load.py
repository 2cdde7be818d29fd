"""Any file to a frozen graph: it gives what the program gives that the file was written by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import build_network
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.open import open_model
from tests.features import tiny
from tests.opening import load_graph
from tests.slim import golden
from tests.sources.checkpoints import CLASSES, drawn
from tests.sources.corpus import SIZE, Written, close

Array = npt.NDArray[Any]
Original = Callable[[Path, Array], dict[str, Array]]
"""Runs the file at a path on prepared pixels, without any of our code."""
SLIM_SIZE = 32


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """JPEG and PNG files of several sizes."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / "a.jpg", folder / "b.png", folder / "c.jpeg", folder / "d.png"]
    for number, path in enumerate(paths):
        tiny.photo(17 + 9 * number, 40 - 5 * number, seed=number).save(path)
    return [str(path) for path in paths]


def prepared(paths: list[str], size: int, mean: float, std: float) -> Array:
    """Pixels of image files as retrain.py prepared them: float32 [N, size, size, 3]."""
    found = []
    for path in paths:
        image = tf.io.decode_image(Path(path).read_bytes(), 3, expand_animations=False)
        batch = tf.cast(image, tf.float32)[tf.newaxis]
        found.append(tf.raw_ops.ResizeBilinear(images=batch, size=[size, size]).numpy()[0])
    return (np.stack(found) - mean) / std


def run_graph(path: Path, pixels: Array) -> dict[str, Array]:
    names = ["Conv2D:0", "Mean:0", "final_result:0"]
    values = tiny.run_untouched(path, names, {"input:0": pixels})  # type: ignore[arg-type]
    return dict(zip(names, values, strict=True))


def run_meta(path: Path, pixels: Array) -> dict[str, Array]:
    """Restore a checkpoint and train on: one image at a time, because batch norm looks at all."""
    v1, names = tf.compat.v1, ["net/pool:0", "net/probs:0"]
    prefix = str(path).removesuffix(".meta")
    rows = []
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        for row in range(len(pixels)):
            rows.append(session.run(names, {"input:0": pixels[row : row + 1]}))
    return {name: np.concatenate(v) for name, v in zip(names, zip(*rows, strict=True), strict=True)}


def run_saved_model_1(path: Path, pixels: Array) -> dict[str, Array]:
    v1 = tf.compat.v1
    names = ["net/pool:0", "net/probs:0", "net/looked_up:0"]
    is_hub = (path / "tfhub_module.pb").exists()
    entrance = "hub_input/images:0" if is_hub else "images:0"
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, [] if is_hub else ["serve"], str(path))
        values = session.run(names, {entrance: pixels})
    return dict(zip(names, values, strict=True))


def run_saved_model_2(path: Path, pixels: Array) -> dict[str, Array]:
    """One image at a time: the module branches on the sum of a batch."""
    model = tf.saved_model.load(str(path))
    rows = [model(tf.constant(pixels[row : row + 1])) for row in range(len(pixels))]
    return {key: np.concatenate([row[key] for row in rows]) for key in ("features", "whole")}


def run_keras(path: Path, pixels: Array) -> dict[str, Array]:
    model = keras.models.load_model(path, compile=False)
    both = keras.Model(model.input, [model.get_layer("pool").output, model.output])
    pooled, probs = both.predict(pixels, verbose=0)
    prefix = "toy_1/"
    return {f"{prefix}pool_1/Mean:0": pooled, f"{prefix}probs_1/Softmax:0": probs}


def run_export(path: Path, pixels: Array) -> dict[str, Array]:
    model = tf.saved_model.load(str(path))  # which has to stay while it is used
    return {"toy_1/probs_1/Softmax:0": model.serve(pixels).numpy()}


def run_slim(path: Path, pixels: Array) -> dict[str, Array]:
    built = build_network("mobilenet_v1", drawn(), SLIM_SIZE, CLASSES, 0.25)
    fetches = {
        "Logits": built.logits,
        "Predictions": built.predictions,
        "Conv2d_5_pointwise": built.end_points["Conv2d_5_pointwise"],
    }
    return golden.run(built.graph_def, fetches, pixels)


HALF, UNIT = (127.5, 127.5), (0.0, 255.0)
ORIGINALS: dict[str, tuple[Original, tuple[float, float], str | None]] = {
    # how it is run, mean and std of its pixels, its result
    "graph": (run_graph, HALF, "final_result:0"),
    "text graph": (run_graph, HALF, "final_result:0"),
    "tgz": (run_graph, HALF, "final_result:0"),
    "zip": (run_graph, HALF, "final_result:0"),
    "gz": (run_graph, HALF, "final_result:0"),
    "inside": (run_graph, HALF, "final_result:0"),
    "meta": (run_meta, HALF, None),
    "checkpoint": (run_meta, HALF, None),
    "checkpoint v1": (run_meta, HALF, None),
    "slim v2": (run_slim, HALF, "MobilenetV1/Predictions/Reshape_1:0"),
    "slim v1": (run_slim, HALF, "MobilenetV1/Predictions/Reshape_1:0"),
    "slim tgz": (run_slim, HALF, "MobilenetV1/Predictions/Reshape_1:0"),
    "saved model 1": (run_saved_model_1, HALF, None),
    "hub 1": (run_saved_model_1, UNIT, None),
    "saved model 2": (run_saved_model_2, UNIT, None),
    "hub 2": (run_saved_model_2, UNIT, None),
    "keras": (run_keras, HALF, "toy_1/probs_1/Softmax:0"),
    "keras h5": (run_keras, HALF, "toy_1/probs_1/Softmax:0"),
    "keras export": (run_export, HALF, "toy_1/probs_1/Softmax:0"),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_values(name: str, kinds: Mapping[str, Path], images: list[str], model_dir: Path) -> None:
    original, (mean, std), final = ORIGINALS[name]
    path, size = kinds[name], SIZE
    said: dict[str, Any] = {}
    if name.startswith("slim"):
        size = SLIM_SIZE
        said = {"input_height": size, "input_width": size}
    network = rt.load(path, model_dir=model_dir, **said)
    frozen = network.frozen()
    assert (frozen.spec.image_size, frozen.spec.final) == ((size, size), final)
    assert np.broadcast_to(frozen.spec.mean, 3).tolist() == [mean] * 3
    assert frozen.spec.std == std
    source = kinds["graph"] if original is run_graph else path
    expected = original(source, prepared(images, size, mean, std))
    found = rt.fetch(network, list(expected), images)
    assert found.images == images
    for key, values in expected.items():
        assert found.values[key].shape == values.shape
        assert close(found.values[key], values), key


def test_pixels_whose_scaling_is_not_known(
    kinds: Mapping[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    load_graph(str(kinds["keras"]))
    assert caplog.messages == [
        f"{kinds['keras']} is not in the catalogue; its pixels are taken as (x - 127.5) / 127.5. "
        "If that is wrong, give input_mean and input_std."
    ]
    caplog.clear()
    load_graph(str(kinds["hub 1"]))  # Hub's own rule
    load_graph(str(kinds["graph"]), overrides=SpecOverrides(input_mean=0, input_std=255))
    assert caplog.messages == []


def test_a_model_that_scales_pixels_itself(tmp_path: Path, images: list[str]) -> None:
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3))
    h = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 17, offset=-3)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(h)))
    model.save(tmp_path / "model.keras")
    network = rt.load(tmp_path / "model.keras")
    spec = network.frozen().spec
    assert (spec.mean, spec.std) == (0.0, 1.0)
    assert spec.final is not None
    expected = model.predict(prepared(images, SIZE, 0, 1), verbose=0)
    assert close(rt.fetch(network, spec.final, images).values[spec.final], expected)


def test_what_to_know_before_feeding_is_a_warning(
    tmp_path: Path, images: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Keras's VGG takes BGR: the frozen graph takes RGB, and says so."""
    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3), name="pixels")
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(h), name="vgg16")
    model.save(tmp_path / "model.keras")
    network = rt.load(tmp_path / "model.keras")
    spec = network.frozen().spec
    [message] = caplog.messages
    assert message.startswith(f"{spec.pixel_input} takes RGB pixels minus (123.68, 116.779, ")
    assert message.endswith(" is what Keras's preprocess_input gives")
    pixels = keras.applications.vgg16.preprocess_input(prepared(images, SIZE, 0, 1))
    assert spec.final is not None
    values = rt.fetch(network, spec.final, images).values[spec.final]
    assert close(values, model.predict(pixels, verbose=0))


def test_tags_and_signatures(
    saved_model_1: Written, kinds: Mapping[str, Path], images: list[str]
) -> None:
    path = str(saved_model_1.path)
    serving = load_graph(path, choices=Choices(["serve"], "serving_default"))
    plain = load_graph(path)
    assert serving.graph_def == plain.graph_def
    training = open_model(path, choices=Choices(["train"]))
    assert training.description == f"SavedModel of TensorFlow {tf.__version__}, tags train"
    assert rt.load(path, tags="train").description == training.description  # one tag is no list
    assert load_graph(path, choices=Choices(["train"])).spec.pixel_input == "images:0"


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        (
            "saved model 1",
            Choices(["sreve"]),
            "No graph with tags sreve in {path}; there are: serve; train. Name all of one graph's "
            "tags.",
        ),
        (
            "saved model 1",
            Choices(None, "serving"),
            "No signature 'serving' in {path}. Did you mean 'serving_default'? There are: "
            "serving_default.",
        ),
        ("graph", Choices(["serve"]), "{path} is a GraphDef, which has no tags; leave them out."),
        (
            "graph",
            Choices(None, "x"),
            "{path} is a GraphDef, which has no signatures; leave them out.",
        ),
        (
            "keras",
            Choices(["serve"]),
            "{path} is a Keras model (.keras), which has no tags; leave them out.",
        ),
        ("meta", Choices(["serve"]), "{path} is a MetaGraph, which has no tags; leave them out."),
        (
            "meta",
            Choices(None, "x"),
            "{path} is a MetaGraph of TensorFlow VERSION, with its checkpoint, which has no "
            "signatures; leave them out.",
        ),
        (
            "checkpoint",
            Choices(["serve"]),
            "{path} is a checkpoint, which has no tags; leave them out.",
        ),
        (
            "slim v2",
            Choices(None, "x"),
            "{path} is a checkpoint, which has no signatures; leave them out.",
        ),
        (
            "graph",
            Choices(preprocess="slim"),
            "preprocess=slim is for slim checkpoints; {path} is a graph, which has its own way "
            "of preparing images.",
        ),
        ("slim v2", Choices(preprocess="crop"), "preprocess=crop must be resize or slim."),
        ("graph", Choices(preprocess="crop"), "preprocess=crop must be resize or slim."),
    ],
)
def test_choices_that_are_not_there(
    name: str, choices: Choices, message: str, kinds: Mapping[str, Path], model_dir: Path
) -> None:
    path = str(kinds[name])
    said = {key: getattr(choices, key) for key in ("tags", "signature", "preprocess")}
    for function in (
        lambda: load_graph(path, model_dir, choices=choices),
        lambda: open_model(path, model_dir, choices),
        lambda: rt.load(path, model_dir=model_dir, **said),
    ):
        with pytest.raises(InputError) as error:
            function()
        assert str(error.value) == message.format(path=path).replace("VERSION", tf.__version__)


def test_a_checkpoint_of_an_unknown_network(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    names = "No slim network's checkpoint begins as 'net/bn/b' does; names of known networks"
    path = str(kinds["checkpoint alone"])
    with pytest.raises(InputError) as error:
        load_graph(path, tmp_path)
    assert str(error.value).startswith(f"{path} cannot be frozen: {names} begin with InceptionV1, ")
    opened = open_model(path, tmp_path)  # but it can be listed
    assert opened.entry is None
    assert len(opened.variables) == 11
    for name in ("checkpoint", "checkpoint alone"):  # with and without its MetaGraph
        with pytest.raises(InputError) as error:
            load_graph(str(kinds[name]), tmp_path, choices=Choices(preprocess="slim"))
        assert str(error.value).startswith(names)


def test_slims_crop(kinds: Mapping[str, Path], model_dir: Path, images: list[str]) -> None:
    path, small = str(kinds["slim v2"]), SpecOverrides(input_height=32, input_width=32)
    usual, same, cropped = (
        load_graph(path, model_dir, small, Choices(preprocess=preprocess))
        for preprocess in (None, "resize", "slim")
    )
    assert usual.graph_def == same.graph_def != cropped.graph_def
    assert {frozen.spec.image_size for frozen in (usual, same, cropped)} == {(32, 32)}


def test_what_is_inside_an_archive_and_what_is_not(kinds: Mapping[str, Path]) -> None:
    archive = kinds["tgz"]
    frozen = load_graph(f"{archive}/inside/frozen.pb")
    assert frozen.path == archive / "inside/frozen.pb"
    assert frozen.graph_def == load_graph(str(kinds["graph"])).graph_def
    opened = open_model(f"{archive}/inside/frozen.pb")
    assert opened.description == "frozen GraphDef, in a.tgz"
    for wrong in ("other.pb", "inside/other.pb", "inside/frozen.pb/deeper"):
        with pytest.raises(InputError) as error:
            load_graph(f"{archive}/{wrong}")
        assert str(error.value) == f"No such file: {archive}/{wrong}"
    with pytest.raises(InputError) as error:
        load_graph(f"{kinds['graph']}/inside.pb")
    assert str(error.value).startswith(f"No such file: {kinds['graph']}/inside.pb")


def test_a_name_that_nothing_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"inception_v9.*Did you mean"):
        load_graph("inception_v9", tmp_path)
    with pytest.raises(InputError) as error:
        open_model(str(tmp_path / "no.pb"))
    assert str(error.value) == f"No such file: {tmp_path / 'no.pb'}"


def test_a_frozen_graph_tells_how_it_was_opened(tmp_path: Path) -> None:
    path = tiny.write_2015_graph(tmp_path / "graph.pb")
    said = {"input_layer": "Mul:0", "input_mean": 1.0}
    assert rt.load(path, **said).frozen().said == said
    assert rt.load(path).frozen().said == {}
