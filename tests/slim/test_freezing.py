"""Checkpoints written by TensorFlow's own Saver, frozen, and run against the untouched recipe."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.image_side import add_image_side, make_image_side
from retrain_tools.graphdef.note import read_note
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import build_network
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.kinds import Place
from tests.opening import freeze_checkpoint, load_graph, read_graph_def
from tests.slim.golden import draw_images, draw_variables, expected_variables, golden, run

CLASSES = 5
SIZE = 32
DECAYED = "/ExponentialMovingAverage"


def save(variables: dict[str, np.ndarray], prefix: Path, v1: bool = False) -> str:
    """Write a checkpoint as TensorFlow 1 did."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    version = tf.compat.v1.train.SaverDef.V1 if v1 else tf.compat.v1.train.SaverDef.V2
    with tf.Graph().as_default():
        made = [
            tf.compat.v1.get_variable(name, initializer=tf.constant(value), use_resource=False)
            for name, value in variables.items()
        ]
        saver = tf.compat.v1.train.Saver(made, write_version=version)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            saver.save(session, str(prefix), write_meta_graph=False)
    return str(prefix)


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    drawn = draw_variables(expected_variables("mobilenet_v1", CLASSES, 0.25))
    return drawn | {"global_step": np.int64(7)}


@pytest.fixture(scope="module")
def expected(variables: dict[str, np.ndarray]) -> np.ndarray:
    built = build_network("mobilenet_v1", variables, SIZE, CLASSES, 0.25)
    return run(built.graph_def, {"logits": built.logits}, draw_images(SIZE))["logits"]


@pytest.fixture(scope="module")
def forms(variables: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The same checkpoint in every form."""
    folder = tmp_path_factory.mktemp("checkpoints")
    v2 = save(variables, folder / "v2" / "model.ckpt")
    v1 = save(variables, folder / "v1" / "model.ckpt", v1=True)
    lone = folder / "lone"
    lone.mkdir()
    shutil.copy(v1, lone / "mobilenet.ckpt")
    with tarfile.open(folder / "v1.tar.gz", "w:gz") as tar:
        tar.add(v1, "mobilenet.ckpt")
    with tarfile.open(folder / "v2.tgz", "w:gz") as tar:
        for file in Path(v2).parent.glob("model.ckpt*"):
            tar.add(file, f"./{file.name}")
    return {
        "V2 prefix": v2,
        "V2 index": f"{v2}.index",
        "V2 data": f"{v2}.data-00000-of-00001",
        "V1 file": v1,
        "folder": str(Path(v2).parent),
        "folder without its checkpoint file": str(lone),
        "V1 in a tar.gz": str(folder / "v1.tar.gz"),
        "V2 in a tgz": str(folder / "v2.tgz"),
    }


@pytest.mark.parametrize(
    "form",
    [
        "V2 prefix",
        "V2 index",
        "V2 data",
        "V1 file",
        "folder",
        "folder without its checkpoint file",
        "V1 in a tar.gz",
        "V2 in a tgz",
    ],
)
def test_every_form_of_a_checkpoint_gives_the_network(forms, expected, form):
    frozen = freeze_checkpoint(forms[form], image_size=SIZE)
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(frozen.graph_def)}
    assert read_note(frozen.graph_def).source == "mobilenet_v1"
    assert shapes[frozen.spec.final][-1] == CLASSES
    assert shapes[frozen.spec.bottleneck][-1] == 256  # a quarter of 1024
    logits = "MobilenetV1/Logits/SpatialSqueeze:0"
    found = run(frozen.graph_def, {"logits": logits}, draw_images(SIZE))["logits"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.std())


def test_an_encoded_image_gives_what_its_prepared_pixels_give(forms):
    frozen = freeze_checkpoint(forms["V2 prefix"], image_size=SIZE)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    resized = tf.raw_ops.ResizeBilinear(images=pixels[None].astype(np.float32), size=[SIZE, SIZE])
    fetch = {"scores": frozen.spec.final}
    by_hand = run(frozen.graph_def, fetch, (resized.numpy() - 127.5) / 127.5)["scores"]
    encoded = run(frozen.graph_def, fetch, png.getvalue(), "DecodeJpeg/contents:0")["scores"]
    np.testing.assert_allclose(encoded, by_hand, rtol=0, atol=1e-6)


def test_vgg_subtracts_a_mean_for_each_colour():
    spec = GraphSpec(
        None, None, None, "input:0", (8, 8), (123.68, 116.78, 103.94), 1.0, "input:0", None
    )
    side = make_image_side(spec, set())
    image = np.full((9, 7, 3), (130, 120, 110), np.uint8)
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    pixels = run(side.graph_def, {"x": side.pixels}, png.getvalue(), side.encoded)["x"]
    wanted = np.array([130 - 123.68, 120 - 116.78, 110 - 103.94], np.float32)
    np.testing.assert_allclose(pixels[0, 4, 4], wanted, atol=1e-4)


def test_moving_averages_are_taken_where_there_are_any_and_asked_for(variables, tmp_path):
    biases = "MobilenetV1/Logits/Conv2d_1c_1x1/biases"
    averaged = variables | {biases + DECAYED: variables[biases] + 1}
    path = save(averaged, tmp_path / "model.ckpt")
    logits = {"logits": "MobilenetV1/Logits/SpatialSqueeze:0"}
    images = draw_images(SIZE)
    with_averages, without = (
        run(freeze_checkpoint(path, None, choice, SIZE).graph_def, logits, images)["logits"]
        for choice in (True, False)
    )
    np.testing.assert_allclose(with_averages - without, 1, atol=1e-4)


def test_a_golden_checkpoint_gives_the_golden_logits(tmp_path):
    wanted = golden("mobilenet_v1_0.25_128")
    path = save(draw_variables(wanted.variables), tmp_path / "model.ckpt")
    frozen = freeze_checkpoint(path, image_size=wanted.image_size)
    logits = {"logits": "MobilenetV1/Logits/SpatialSqueeze:0"}
    found = run(frozen.graph_def, logits, draw_images(wanted.image_size))["logits"]
    first = np.array(wanted.logits)
    np.testing.assert_allclose(found[:, : first.shape[1]], first, rtol=0, atol=1e-4 * first.std())


class TestWrongCheckpoints:
    def test_another_architecture(self, forms):
        path = forms["V2 prefix"]
        with pytest.raises(InputError) as error:
            freeze_checkpoint(path, "inception_v3")
        assert str(error.value) == f"{path} is a checkpoint of mobilenet_v1, not of inception_v3."

    def test_an_unknown_architecture(self, forms):
        with pytest.raises(
            InputError, match=r"^No slim network is called 'inception_v9'\. Did you"
        ):
            freeze_checkpoint(forms["V2 prefix"], "inception_v9")

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError) as error:
            freeze_checkpoint(f"{tmp_path}/model.ckpt")
        path = f"{tmp_path}/model.ckpt"
        assert str(error.value) == f"No such file: {path}"
        with pytest.raises(InputError) as error:
            Checkpoint(Place.of(path))
        wanted = f"No checkpoint at {path}: neither that file nor {path}.index is there."
        assert str(error.value) == wanted

    def test_a_folder_without_a_checkpoint(self, tmp_path):
        with pytest.raises(InputError) as error:
            freeze_checkpoint(str(tmp_path))
        assert str(error.value).startswith(f"{tmp_path} holds no model (it is empty): ")

    def test_a_missing_part(self, forms, tmp_path):
        shutil.copy(forms["V2 index"], tmp_path / "model.ckpt.index")
        with pytest.raises(InputError, match=r"model\.ckpt cannot be read: .* takes its \.index"):
            freeze_checkpoint(str(tmp_path / "model.ckpt"))

    def test_a_part_that_is_cut_off(self, forms, tmp_path):
        for file in Path(forms["V2 prefix"]).parent.glob("model.ckpt*"):
            shutil.copy(file, tmp_path)
        [data] = tmp_path.glob("*.data-*")
        data.write_bytes(data.read_bytes()[:1000])
        with pytest.raises(InputError, match=r"model\.ckpt cannot be read: "):
            freeze_checkpoint(str(tmp_path / "model.ckpt"))

    def test_an_archive_that_is_cut_off(self, forms, tmp_path):
        cut = tmp_path / "cut.tar.gz"
        cut.write_bytes(Path(forms["V1 in a tar.gz"]).read_bytes()[:5000])
        with pytest.raises(InputError, match=r"cut\.tar\.gz cannot be unpacked: "):
            freeze_checkpoint(str(cut))


def test_the_script_writes_a_graph_and_says_what_it_is(forms, tmp_path):
    command = [sys.executable, "-m", "retrain_tools.freeze_graph"]
    options = [f"--checkpoint={forms['V1 file']}", "--output=frozen.pb", f"--image_size={SIZE}"]
    done = subprocess.run(
        command + options, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"frozen.pb: mobilenet_v1, {CLASSES} classes, 32 × 32 pixels; "
        "bottleneck MobilenetV1/Logits/AvgPool_1a/AvgPool:0 (256), "
        "result MobilenetV1/Predictions/Reshape_1:0\n"
    )
    assert {n.name for n in read_graph_def(tmp_path / "frozen.pb").node} >= {"input", "DecodeJpeg"}
    wrong = subprocess.run(
        [*command, "--checkpoint=nothing", "--output=frozen.pb"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: No file and no catalogue name 'nothing'. Known names: ")


def test_slims_crop_stands_in_front_when_it_is_asked_for(forms):
    frozen = freeze_checkpoint(forms["V2 prefix"], image_size=SIZE, preprocess="slim")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    middle = tf.image.central_crop(pixels, 0.875).numpy()[None].astype(np.float32)
    resized = tf.raw_ops.ResizeBilinear(images=middle, size=[SIZE, SIZE]).numpy()
    fetch = {"scores": frozen.spec.final}
    by_hand = run(frozen.graph_def, fetch, resized / 127.5 - 1)["scores"]
    encoded = run(frozen.graph_def, fetch, png.getvalue(), "DecodeJpeg/contents:0")["scores"]
    np.testing.assert_allclose(encoded, by_hand, rtol=0, atol=1e-6)


@pytest.mark.parametrize("preprocess", ["resize", "slim"])
def test_the_frozen_graph_is_understood_when_it_is_opened_again(forms, tmp_path, preprocess):
    frozen = freeze_checkpoint(forms["V2 prefix"], image_size=SIZE, preprocess=preprocess)
    write_graph(str(tmp_path / "frozen.pb"), frozen.graph_def)
    spec = load_graph(str(tmp_path / "frozen.pb")).spec
    assert (spec.encoded_input, spec.pixel_input) == ("DecodeJpeg/contents:0", "input:0")
    assert (spec.image_size, spec.bottleneck) == ((SIZE, SIZE), frozen.spec.bottleneck)


def test_an_image_side_put_in_front_leaves_the_note(forms):
    frozen = freeze_checkpoint(forms["V2 prefix"], image_size=SIZE)
    plain = schema.GraphDef.FromString(frozen.graph_def.SerializeToString())
    entrance = next(node for node in plain.node if node.name == "input")
    del entrance.input[:]
    entrance.op = "Placeholder"
    add_image_side(plain, frozen.spec)
    assert read_note(plain) == read_note(frozen.graph_def) is not None
