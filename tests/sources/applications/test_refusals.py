"""What cannot be: one clear line each, and before Keras is started where that can be told."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import keras
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.graphdef.spec import SpecOverrides


def refusal(graph: str, size: int | None = None, **said: Any) -> str:
    with pytest.raises(InputError) as error:
        rt.load(graph, input_height=size, **said).frozen()
    return str(error.value)


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Keras's without weights, and no network."""

    def offline(*_: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(tmp_path / "models of ours"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "top", "file"),
    [
        ("VGG16", False, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        (
            "MobileNetV2",
            False,
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        ),
        ("MobileNet", True, "mobilenet_1_0_224_tf.h5"),
    ],
)
def test_weights_that_are_nowhere(
    name: str, top: bool, file: str, keras_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(f"keras:{name}", include_top=top) == (
        f"The ImageNet weights of keras:{name}, {file}, are not in {keras_home}/models, and cannot "
        "be fetched (Name or service not known): put the file there, name another with "
        "weights=FILE, or take weights=none."
    )
    assert "Downloading" not in "".join(capfd.readouterr())  # it is one line


def test_a_file_that_keras_did_not_publish_stays_where_it_is(keras_home: Path) -> None:
    """Keras would fetch it anew, and remove it where it cannot."""
    path = keras_home / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    assert refusal("keras:VGG16") == (
        f"{path} is not the file that Keras published, or is cut off: remove it to have it "
        f"fetched, weights={path} takes it as it is."
    )
    assert path.read_bytes() == b"cut off"


def test_a_file_that_is_no_weights(tmp_path: Path, model_dir: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    told = refusal("keras:VGG16", 32, weights=path, model_dir=model_dir)
    assert told.startswith(f"{path} ")
    assert "\n" not in told
    path.write_text("text")
    assert refusal("keras:VGG16", 32, weights=path, model_dir=model_dir) == (
        f"{path} is no HDF5 file: weights of Keras are a .h5, .weights.h5 or .keras file."
    )


def test_weights_of_another_network(tmp_path: Path, model_dir: Path) -> None:
    path = tmp_path / "vgg.h5"
    model = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    model.save_weights(tmp_path / "v.weights.h5")
    (tmp_path / "v.weights.h5").rename(path)
    assert refusal("keras:MobileNetV2", 32, weights=path, model_dir=model_dir) == (
        f"{path} holds the weights of VGG16, not of MobileNetV2: graph=keras:VGG16"
    )


@pytest.mark.parametrize(
    ("graph", "size", "said", "told"),
    [
        (
            "keras:InceptionV3",
            32,
            {"weights": "none"},
            "keras:InceptionV3 cannot be built: Input size must be at least 75x75; Received: "
            "input_shape=(32, 32, 3). Leave out input_height and input_width, or give others.",
        ),
        (
            "keras:VGG16",
            150,
            {"include_top": True},
            "keras:VGG16 cannot be built: When setting `include_top=True` and loading `imagenet` "
            "weights, `input_shape` should be (224, 224, 3). Received: input_shape=(150, 150, 3). "
            "Leave out input_height and input_width, or give others.",
        ),
        ("keras:VGG16", -1, {"weights": "none"}, "input_height=-1 must be above 0."),
        (
            "keras:VGG16",
            None,
            {"weights_seed": 3},
            "weights_seed=3 is for weights=none; leave it out.",
        ),
        (
            "keras:VGG16",
            None,
            {"weights": "none", "weights_seed": -1},
            "weights_seed=-1 must be 0 or above.",
        ),
        (
            "keras:VGG16",
            None,
            {"weights": "gone.h5"},
            "weights=gone.h5 is no file; it takes imagenet, none, or a Keras file of weights "
            "(.h5).",
        ),
        (
            "keras:VGG16",
            None,
            {"tags": "serve"},
            "keras:VGG16 is a Keras application with ImageNet weights, which has no tags; leave "
            "them out.",
        ),
        (
            "keras:VGG16",
            None,
            {"preprocess": "slim"},
            "preprocess=slim is for slim checkpoints; keras:VGG16 is a graph, which has its own "
            "way of preparing images.",
        ),
        (
            "keras:VGG16",
            48,
            {"weights": "none", "resize": "cubic"},
            "resize=cubic must be one of nearest, bilinear, bicubic, lanczos, tf_bilinear.",
        ),
    ],
)
def test_what_does_not_go_together(
    graph: str, size: int | None, said: dict[str, Any], told: str, model_dir: Path
) -> None:
    assert refusal(graph, size, model_dir=model_dir, **said) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"weights": "none"}, "weights=none"),
        ({"weights_seed": 0}, "weights_seed=0"),
        ({"include_top": True}, "include_top=True"),
    ],
)
def test_what_only_networks_of_keras_have(said: dict[str, Any], told: str, frozen: Path) -> None:
    assert refusal(str(frozen), **said) == (
        f"{told} is for networks of Keras (keras:InceptionV3); {frozen} is a frozen GraphDef."
    )


def test_a_graph_that_resizes_itself_takes_no_resize(photos: Path, model_dir: Path) -> None:
    model = rt.load("keras:VGG16", weights="none", input_height=48, model_dir=model_dir)
    path = rt.freeze(model, model_dir / "vgg16.pb")
    assert refusal(str(path), resize="lanczos") == (
        f"{path} resizes images itself; leave resize out, or pass "
        "input_layer=network_input:0 to have images prepared outside of the graph."
    )
    overrides = SpecOverrides(input_layer="network_input:0", resize="lanczos")
    assert rt.load(path).frozen(overrides).spec.resize == "lanczos"
