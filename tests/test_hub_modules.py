"""Feature vectors in Hub's layouts: summed up, cached and trained on without a flag more."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features.cache import parse_bottleneck
from retrain_tools.quiet_tensorflow import tf
from tests import hub_modules
from tests.head.photos import write_photos
from tests.head.scripts import Finished, run_commands
from tests.hub_modules import DEPTH, SIDE

HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_064/feature_vector/5"
LAYOUTS = ("keras", "module", "handle", "tf1")
DEPTHS = {"keras": DEPTH, "module": DEPTH, "handle": DEPTH, "tf1": 24}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What TFHUB_CACHE_DIR names, in the scripts' processes, too."""
    folder = tmp_path_factory.mktemp("tfhub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Mapping[str, Path]:
    """One module in each layout, that of the handle for images of any size."""
    folder = tmp_path_factory.mktemp("modules")
    kept = cache / hashlib.sha1(HANDLE.encode()).hexdigest()
    kept.with_name(f"{kept.name}.descriptor.txt").write_text(f"Module: {HANDLE}\n")
    return {
        "keras": hub_modules.write_keras_model(folder / "keras"),
        "module": hub_modules.write_module(folder / "module", SIDE),
        "handle": hub_modules.write_module(kept, None),
        "tf1": hub_modules.write_tf1_module(folder / "tf1"),
    }


def name_of(modules: Mapping[str, Path], layout: str) -> str:
    return HANDLE if layout == "handle" else str(modules[layout])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", ("daisy", "tulip"), 12)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def cached(modules: Mapping[str, Path], photos: Path, work: Path) -> Mapping[str, Finished]:
    """`bottlenecks` on each module, in a process of its own."""
    commands: list[list[object]] = [
        [
            f"--graph={name_of(modules, layout)}",
            f"--image_dir={photos}",
            f"--bottleneck_dir={work / layout}",
        ]
        for layout in LAYOUTS
    ]
    return dict(
        zip(LAYOUTS, run_commands("retrain_tools.bottlenecks", commands, work), strict=True)
    )


@pytest.fixture(scope="module")
def trained(
    cached: Mapping[str, Finished], modules: Mapping[str, Path], photos: Path, work: Path
) -> Mapping[str, Finished]:
    """`retrain` on each module, with the bottlenecks that are there."""
    commands: list[list[object]] = [
        [
            f"--graph={name_of(modules, layout)}",
            f"--image_dir={photos}",
            f"--bottleneck_dir={work / layout}",
            f"--output_dir={work / f'{layout}_retrained'}",
            "--how_many_training_steps=20",
        ]
        for layout in LAYOUTS
    ]
    return dict(zip(LAYOUTS, run_commands("retrain_tools.retrain", commands, work), strict=True))


def pixels_of(photo: Path) -> Any:
    """A photo as retrain.py gave it to Hub's modules: decoded, resized, from 0 to 1."""
    image = tf.image.convert_image_dtype(tf.io.decode_jpeg(photo.read_bytes(), 3), tf.float32)
    return tf.compat.v1.image.resize_bilinear(image[None], [SIDE, SIDE]).numpy()


SAID: dict[str, tuple[str, str, str, str]] = {
    "keras": (
        "SavedModel of TensorFlow",
        "0 to 1 at serving_default_images:0, of which the graph makes -1 to 1: its own arithmetic "
        "before the first layer shows it",
        "yes, a vector of 1,280 (global average of [2, 2, 1280]); no GlobalAveragePooling2D is "
        "needed",
        "model/mobilenetv2_0.35_None/out_relu/Relu6:0",
    ),
    "module": (
        "SavedModel (TF2 Hub interface) of TensorFlow",
        "0 to 1 at inputs:0, of which the graph makes -1 to 1: Hub's convention for images",
        "yes, a vector of 1,280 (global average of [2, 2, 1280]); no GlobalAveragePooling2D is "
        "needed",
        "mobilenetv2_0.35_None/out_relu/Relu6:0",
    ),
    "handle": (
        "SavedModel (TF2 Hub interface) of TensorFlow",
        "0 to 1 at inputs:0, of which the graph makes -1 to 1: Hub's convention for images",
        "yes, a vector of 1,280 (global average of [?, ?, 1280]); no GlobalAveragePooling2D is "
        "needed",
        "mobilenetv2_0.35_None/out_relu/Relu6:0",
    ),
    "tf1": (
        "TF1 Hub module, tags (none)",
        "0 to 1 at hub_input/images:0, of which the graph makes -1 to 1: Hub's convention for "
        "images",
        "yes, a vector of 24 (global average of [?, ?, 24]); no GlobalAveragePooling2D is needed",
        "Net/Relu6_1:0",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_summed_up_as_pooled(modules: Mapping[str, Path], layout: str) -> None:
    kind, pixels, answer, before = SAID[layout]
    summary = rt.load(name_of(modules, layout)).summary()
    assert summary.kind.startswith(kind)
    assert summary.image_size == (SIDE, SIDE)
    assert str(summary.pixels) == pixels
    assert [found.role for found in summary.pooling] == ["bottleneck and result"]
    assert (summary.pooling[0].answer, summary.pooling[0].before) == (answer, before)
    text = str(summary)
    assert f"\nImages   64×64 pixels\nPixels   {pixels}\nPooled   {answer}\n" in text
    assert f"before the pooling     --bottleneck_tensor={before} or --tensors={before}\n" in text
    for command in summary.commands:
        assert not {"HEIGHT", "input_mean"} & set(
            command.replace("--", " ").replace("=", " ").split()
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bottlenecks_are_what_the_module_gives(
    cached: Mapping[str, Finished],
    modules: Mapping[str, Path],
    photos: Path,
    work: Path,
    layout: str,
) -> None:
    assert cached[layout].status == 0, cached[layout].err
    assert "24 computed, 0 reused, 0 repaired, 0 failed" in cached[layout].out
    assert "warning" not in cached[layout].err
    files = sorted(photos.rglob("*.jpg"))[::5]
    mine = [
        parse_bottleneck(file.read_bytes())
        for photo in files
        for file in [next((work / layout / photo.parent.name).glob(f"{photo.name}*"))]
    ]
    theirs = hub_modules.features(
        modules[layout], np.concatenate([pixels_of(photo) for photo in files])
    )
    assert theirs.shape == (len(files), DEPTHS[layout])
    np.testing.assert_allclose(mine, theirs, atol=1e-4 * float(theirs.std()) + 1e-6)
    assert theirs.std(0).max() > 1e-3  # and they differ from photo to photo


@pytest.mark.parametrize("layout", LAYOUTS)
def test_retrain_takes_it_as_it_is(
    trained: Mapping[str, Finished], photos: Path, work: Path, layout: str
) -> None:
    done = trained[layout]
    assert done.status == 0, done.err
    assert "24 reused" in done.out + done.err
    assert "Final test accuracy = " in done.out + done.err
    graph = work / f"{layout}_retrained" / "output_graph.pb"
    photo = next((photos / "tulip").glob("*.jpg"))
    [found] = rt.label(rt.load(graph), photo)
    assert {label for label, _ in found.best} == {"daisy", "tulip"}
    spec = rt.load(graph).frozen().spec
    assert (spec.image_size, spec.final) == ((SIDE, SIDE), "final_result:0")


def test_what_says_no_size_names_the_flags(modules: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "anonymous"
    shutil.copytree(modules["handle"], folder)
    summary = rt.load(folder).summary()
    assert summary.image_size is None
    assert " --input_height=HEIGHT --input_width=WIDTH" in summary.commands[0]
    with pytest.raises(InputError) as caught:
        rt.load(folder).frozen()
    assert str(caught.value) == (
        f"{folder} does not say how large its images are ('inputs:0' has no fixed size); give "
        "input_height and input_width (above 0)."
    )
    chosen = rt.load(folder, input_height=48, input_width=32).frozen()
    assert chosen.spec.image_size == (48, 32)


def test_another_size_may_be_asked_of_what_takes_any(modules: Mapping[str, Path]) -> None:
    assert rt.load(HANDLE, input_height=96, input_width=96).frozen().spec.image_size == (96, 96)
    tf1 = rt.load(modules["tf1"], input_height=32, input_width=32)
    assert tf1.frozen().spec.image_size == (32, 32)


def test_a_module_without_the_message_of_its_size(tmp_path: Path) -> None:
    folder = hub_modules.write_tf1_module(tmp_path / "module", attached=False)
    assert rt.load(folder).summary().image_size is None


def test_a_module_that_is_not_pooled(tmp_path: Path) -> None:
    layers = [
        tf_keras.layers.Conv2D(12, 3, 32, "same", input_shape=(SIDE, SIDE, 3)),
        tf_keras.layers.ReLU(),
    ]
    network = tf_keras.Sequential(layers)
    folder = hub_modules.write_module(tmp_path / "module", SIDE, network)
    summary = rt.load(folder).summary()
    assert summary.pooling[0].answer == (
        "no, a feature map [2, 2, 12]; GlobalAveragePooling2D, here --pooling=avg, makes a "
        "vector of 12"
    )
    assert "before the pooling" not in str(summary)
