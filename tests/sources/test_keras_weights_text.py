"""What list_tensors says of a file of Keras weights."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest

from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.keras_fit import _networks
from retrain_tools.sources.readers.keras_weights_file import read_weights
from retrain_tools.sources.readers.keras_weights_text import use_command, weights_details

from .weight_files import Layers, as_theano, named_file, numbered_file

FOLDER = Path(__file__).with_name("keras_files")
VGG16: Layers = [
    (f"block_{number}", list(layer))
    for number, layer in enumerate(next(n for n in _networks() if n.name == "VGG16").layers)
]
NOTOP = VGG16[:13]


def told(path: Path) -> dict[str, str]:
    return weights_details(read_weights(path))


def command(path: Path) -> str:
    return (
        f"python -m retrain_tools.bottlenecks --graph=keras:VGG16 --weights={path} "
        "--image_dir=FOLDER"
    )


def test_weights_of_vgg16_as_the_first_keras_wrote_them(tmp_path: Path) -> None:
    """As vgg16_weights.h5 of 2015: layers that pad and pool have numbers too."""
    path = tmp_path / "vgg16_weights.h5"
    padded = [layer for pair in as_theano(VGG16) for layer in (("pad", []), pair)]
    numbered_file(path, padded)
    details = told(path)
    assert details.pop("layers").startswith(
        "16 with weights: layer_1 [64, 3, 3, 3] + [64], layer_3 [64, 64, 3, 3] + [64], "
    )
    assert details == {
        "attribute nb_layers": "32",
        "ordering": "th: kernels of (out, in, height, width), turned by 180 degrees, as Theano had "
        "them (by the kernels' shapes), images of (channels, height, width); converted where they "
        "are used",
        "top": "the network's own, for 1000 classes",
        "fits": "VGG16 and nothing else",
        "to use it": command(path),
    }


def test_weights_without_the_top(tmp_path: Path) -> None:
    path = named_file(
        tmp_path / "w.h5", [("input_1", []), *NOTOP], keras_version="2.1.3", backend="tensorflow"
    )
    details = told(path)
    assert details.pop("attribute layer_names").startswith("14: input_1, block_0, block_1, ")
    assert details.pop("layers").startswith("13 with weights: block_0 [3, 3, 3, 64] + [64], ")
    assert details == {
        "attribute keras_version": "2.1.3",
        "attribute backend": "tensorflow",
        "ordering": "tf: kernels of (height, width, in, out)",
        "top": "none: notop weights, without the classifier",
        "fits": "VGG16 without its top",
        "to use it": command(path),
    }


@pytest.mark.parametrize(
    ("layers", "top", "fits"),
    [
        (
            [*VGG16[:-1], ("mine", [(4096, 7), (7,)])],
            "the network's own, for 7 classes",
            "VGG16 for 7 classes",
        ),
        (
            [*NOTOP, ("mine", [(8192, 7), (7,)])],
            "another than the network's: mine [8192, 7] + [7]",
            "VGG16 with a top of its own",
        ),
        (
            [("grey", [(3, 3, 1, 64), (64,)]), *NOTOP[1:]],
            None,
            "no network of keras.applications; the nearest is VGG16 without its top, but that has "
            "[3, 3, 3, 64] + [64], and the file has grey [3, 3, 1, 64] + [64]",
        ),
        (
            NOTOP[:8],
            None,
            "no network of keras.applications; the nearest is VGG16 without its top, but that has "
            + ", ".join(3 * ["[3, 3, 512, 512] + [512]"])
            + " and 2 more",
        ),
        ([("d", [(3, 2)])], None, "no network of keras.applications"),
    ],
)
def test_other_layers(layers: Layers, top: str | None, fits: str, tmp_path: Path) -> None:
    path = named_file(tmp_path / "w.h5", layers)
    details = told(path)
    assert (details.get("top"), details["fits"]) == (top, fits)
    assert ("to use it" in details) is (top is not None)


@pytest.mark.parametrize(
    ("name", "attributes", "ordering"),
    [
        ("w.h5", {"backend": "theano"}, "turned by 180 degrees, as Theano had them (by the "
         "attribute backend)"),
        ("w_th_kernels.h5", {}, "turned by 180 degrees, as Theano had them (by the file's name)"),
        ("w_th_dim_ordering_tf_kernels.h5", {}, "images of (channels, height, width)"),
    ],
)  # fmt: skip
def test_why_an_ordering_is_theanos(
    name: str, attributes: dict[str, str], ordering: str, tmp_path: Path
) -> None:
    path = named_file(tmp_path / name, NOTOP, keras_version="2.0.8", **attributes)
    assert told(path)["ordering"] == f"th: {ordering}; converted where they are used"


def test_the_resnet50_of_older_keras(tmp_path: Path) -> None:
    network = next(n for n in _networks() if n.name == "ResNet50")
    layers = [(f"l{number}", list(layer)) for number, layer in enumerate(network.layers)]
    layers[3] = ("res2a_branch2a", layers[3][1])
    assert told(named_file(tmp_path / "w.h5", layers))["fits"] == (
        "ResNet50 and nothing else; named as in the ResNet50 of older Keras, which had a "
        "batch-norm epsilon of 0.001 where today's has 1.001e-05, so its features were a little "
        "other ones"
    )


def test_a_path_is_quoted_in_the_command(tmp_path: Path) -> None:
    path = named_file(tmp_path / "my weights.h5", NOTOP)
    assert use_command(read_weights(path)) == command(path).replace(str(path), f"'{path}'")


def test_the_script_says_it_without_keras(tmp_path: Path) -> None:
    path = named_file(tmp_path / "w.h5", NOTOP)
    program = (
        "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None\n"
        "from retrain_tools import list_tensors; list_tensors.script()"
    )
    flags = [f"--graph={path}", "--summary", "--format=json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["kind"] == "Keras weights (HDF5)"
    assert said["details"] == told(path)
    assert said["why_not_frozen"] == (
        "it has weights but does not say what is computed with them; they fit VGG16 without its "
        f"top, which uses them: {command(path)}"
    )


def test_the_arrays_are_listed_with_their_shapes(tmp_path: Path) -> None:
    opened = open_model(named_file(tmp_path / "w.h5", as_theano(NOTOP[:1])))
    assert [(v.name, v.shape) for v in opened.variables] == [
        ("block_0/block_0_0", (64, 3, 3, 3)),
        ("block_0/block_0_1", (64,)),
    ]


def test_a_whole_model_of_keras_1_says_what_its_weights_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / "theano-1.2.2.zip") as archive:
        path = Path(archive.extract("first_model.h5", tmp_path))
    details = open_model(path).details
    assert details["layers"].startswith("7: convolution2d_1 (Convolution2D), ")
    assert details["fits"] == "no network of keras.applications"
    assert details["ordering"].startswith("th: kernels of (out, in, height, width), turned by ")


def test_a_whole_model_of_keras_1_that_fits_says_the_command(tmp_path: Path) -> None:
    path = named_file(tmp_path / "m.h5", as_theano(NOTOP))
    config = {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 64}}
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [config]})
    opened = open_model(path)
    assert opened.description == "Keras 1 model (HDF5)"
    assert opened.details["fits"] == "VGG16 without its top"
    assert opened.why_not_frozen.endswith(
        f"save it again, and pass that. Its weights can be used as they are: {command(path)}"
    )
