from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.make_spec import find_bottlenecks, make_spec
from retrain_tools.graphdef.spec import GraphSpec, SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from tests.opening import load_graph

from .tiny_graphs import (
    MOBILENET,
    MOBILENET_QUANTIZED,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    add,
    add_constant,
    empty_graph,
    inception_like,
    jpeg,
    own,
    pixels_graph,
    real,
    reverse_nodes,
    theirs,
)

OWN_ENTRY = """
description = "A toy"
[archive]
url = "http://127.0.0.1:9/toy.tgz"
name = "toy.tgz"
[graph]
path = "toy.pb"
[input]
pixel = "input:0"
image_size = [8, 8]
mean = 10
std = 20
[output]
bottleneck = "relu:0"
depth = 6
pooling = "avg"
final = "probabilities:0"
"""


@pytest.fixture(autouse=True)
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("retrain_tools")
    propagate, logger.propagate = logger.propagate, True  # a script may have turned it off
    yield caplog
    logger.propagate = propagate


@pytest.fixture
def own_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(OWN_ENTRY)
    monkeypatch.setenv("RETRAIN_TOOLS_CATALOG", str(tmp_path))


def spec_of(graph_def: Any, **overrides: Any) -> GraphSpec:
    return make_spec(graph_def, "g.pb", None, SpecOverrides(**overrides))[0]


TINY = GraphSpec(
    encoded_input="DecodeJpeg/contents:0",
    decoded="DecodeJpeg:0",
    resized="ResizeBilinear:0",
    pixel_input="Mul:0",
    image_size=(8, 8),
    mean=127.5,
    std=127.5,
    bottleneck="pool_3/_reshape:0",
    final=None,
)


@pytest.mark.parametrize(
    "graph_def",
    [inception_like(), inception_like(jpeg()), reverse_nodes(inception_like())],
    ids=["placeholder", "constant", "not in topological order"],
)
def test_a_graph_with_an_image_side(graph_def: Any, log_lines: pytest.LogCaptureFixture) -> None:
    assert spec_of(graph_def) == TINY
    assert not log_lines.messages
    assert TINY.preprocessing() == {
        "by": "graph",
        "from": "DecodeJpeg/contents:0",
        "to": "Mul:0",
    }


def test_a_graph_that_takes_pixels(log_lines: pytest.LogCaptureFixture) -> None:
    spec = spec_of(pixels_graph())
    assert spec == GraphSpec(None, None, None, "input:0", (8, 8), 127.5, 127.5, "pool:0", None)
    assert log_lines.messages == [
        "g.pb is not in the catalogue; its pixels are taken as (x - 127.5) / 127.5. "
        "If that is wrong, give input_mean and input_std."
    ]
    assert spec.preprocessing() == {
        "by": "retrain_tools",
        "to": "input:0",
        "image_size": [8, 8],
        "mean": 127.5,
        "std": 127.5,
    }


def test_a_cache_knows_how_its_images_were_resized() -> None:
    """Raw pixels are recorded as they were before there was a choice: their caches stay good."""
    raw = {"by": "Pillow", "to": "input:0", "image_size": [8, 8]}
    assert spec_of(pixels_graph(), raw_pixels=True).preprocessing() == raw
    said = {"input_mean": 0.0, "input_std": 1.0, "resize": "bilinear"}
    assert spec_of(pixels_graph(), **said).preprocessing() == raw
    scaled = {"to": "input:0", "image_size": [8, 8], "mean": 0.0, "std": 255.0}
    for resize, by in {
        "nearest": "Pillow",
        "bilinear": "Pillow",
        "bicubic": "Pillow",
        "lanczos": "Pillow",
        "tf_bilinear": "retrain_tools",
    }.items():
        spec = spec_of(pixels_graph(), input_mean=0.0, input_std=255.0, resize=resize)
        assert spec.preprocessing() == {"by": by, "resize": resize, **scaled}
    raw_nearest = spec_of(pixels_graph(), raw_pixels=True, resize="nearest").preprocessing()
    assert raw_nearest == {**raw, "mean": 0.0, "std": 1.0, "resize": "nearest"}


def test_an_explicit_mean_of_0_counts(log_lines: pytest.LogCaptureFixture) -> None:
    spec = spec_of(pixels_graph(), input_mean=0.0, input_std=255.0)
    assert (spec.mean, spec.std) == (0.0, 255.0)
    assert not log_lines.messages


def test_the_catalogue_is_asked_about_a_file(
    own_entry: None, log_lines: pytest.LogCaptureFixture
) -> None:
    spec, entry = make_spec(pixels_graph(), "g.pb", None, SpecOverrides())
    assert (spec.mean, spec.std, spec.bottleneck, spec.final) == (
        10.0,
        20.0,
        "relu:0",
        "probabilities:0",
    )
    assert entry is not None
    assert entry.name == "toy"
    assert not log_lines.messages


def test_a_graph_of_the_same_structure_says_whose_scaling_is_taken(
    own_entry: None, log_lines: pytest.LogCaptureFixture
) -> None:
    log_lines.set_level(logging.DEBUG, "retrain_tools")
    spec_of(pixels_graph())
    spec_of(pixels_graph(), input_mean=1.0, input_std=2.0)
    assert log_lines.messages == [
        "g.pb has the structure of toy; its pixels are taken as (x - 10) / 20. "
        "If that is wrong, give input_mean and input_std."
    ]


def test_the_user_overrules_the_catalogue(own_entry: None) -> None:
    spec = spec_of(
        pixels_graph(),
        bottleneck_tensor="import/squeezed",
        output_layer="squeezed",
        input_mean=0.0,
        input_std=1.0,
    )
    assert (spec.bottleneck, spec.final) == ("squeezed:0", "squeezed:0")
    assert (spec.mean, spec.std) == (0.0, 1.0)


def test_a_retrained_head_gives_the_result(own_entry: None) -> None:
    graph_def = pixels_graph()
    add(graph_def, "final_result", "Identity", ["probabilities"], T=tf.float32)
    assert spec_of(graph_def).final == "final_result:0"


def test_a_std_of_0_is_refused() -> None:
    with pytest.raises(InputError) as error:
        spec_of(pixels_graph(), input_std=0.0)
    assert str(error.value) == ("input_std=0 would divide by zero; known values: 127.5, 128, 255.")


def test_scaling_that_the_graph_does_itself_cannot_be_changed(
    log_lines: pytest.LogCaptureFixture,
) -> None:
    spec_of(inception_like(), input_mean=0.0)
    assert log_lines.messages == [
        "g.pb prepares pixels itself: input_mean and input_std are not used."
    ]


def test_an_input_layer_behind_the_image_side(log_lines: pytest.LogCaptureFixture) -> None:
    spec = spec_of(inception_like(), input_layer="import/Mul", input_mean=128.0, input_std=128.0)
    assert (spec.encoded_input, spec.decoded, spec.pixel_input) == (None, None, "Mul:0")
    assert (spec.image_size, spec.mean, spec.std) == ((8, 8), 128.0, 128.0)


def test_an_input_layer_that_takes_bytes() -> None:
    assert spec_of(inception_like(), input_layer="DecodeJpeg/contents") == TINY


def test_an_input_layer_that_takes_other_bytes_is_refused() -> None:
    graph_def = pixels_graph()
    add(graph_def, "words", "Placeholder", dtype=tf.string)
    with pytest.raises(InputError) as error:
        spec_of(graph_def, input_layer="words")
    assert str(error.value) == (
        "'words:0' of g.pb takes bytes, but no image decoded from them goes on to a layer; "
        "name a tensor that takes pixels with input_layer."
    )


@pytest.mark.parametrize("flag", ["input_layer", "output_layer", "bottleneck_tensor"])
def test_an_unknown_tensor_gets_the_nearest_name(flag: str) -> None:
    with pytest.raises(InputError) as error:
        spec_of(pixels_graph(), **{flag: "inputs:0"})
    assert str(error.value) == (
        "No tensor 'inputs:0' in g.pb (9 nodes). Did you mean 'input:0'? "
        "List them: list_tensors --graph=g.pb"
    )


def without_size() -> Any:
    graph_def = pixels_graph()
    for node in graph_def.node:
        if node.name == "input":
            node.attr["shape"].shape.CopyFrom(own(tf.TensorShape([None, None, None, 3]).as_proto()))
    return graph_def


@pytest.mark.parametrize(
    "overrides",
    [{}, {"input_height": 8}, {"input_width": 8}, {"input_height": 0, "input_width": 8}],
)
def test_a_missing_size_is_asked_for(overrides: dict[str, int]) -> None:
    with pytest.raises(InputError) as error:
        spec_of(without_size(), **overrides)
    assert str(error.value) == (
        "g.pb does not say how large its images are ('input:0' has no fixed size); "
        "give input_height and input_width (above 0)."
    )


def test_a_given_size_is_taken() -> None:
    assert spec_of(without_size(), input_height=9, input_width=7).image_size == (9, 7)


def test_a_size_that_is_fed_has_to_be_given() -> None:
    graph_def = inception_like(size=None)
    with pytest.raises(InputError, match=r"'Mul:0' has no fixed size"):
        spec_of(graph_def)
    assert spec_of(graph_def, input_height=8, input_width=8) == TINY


def test_a_size_other_than_the_graphs_own_is_refused() -> None:
    assert spec_of(inception_like(), input_height=8, input_width=8) == TINY
    with pytest.raises(InputError) as error:
        spec_of(inception_like(), input_height=10)
    assert str(error.value) == (
        "g.pb resizes images to 8×8 itself, not to 10×8; leave input_height and "
        "input_width out, or pass input_layer=Mul:0 to have images prepared outside of "
        "the graph."
    )


def test_a_dropout_rate_is_not_taken_for_the_images() -> None:
    graph_def = empty_graph(producer=21)
    add(graph_def, "keep_prob", "Placeholder", dtype=tf.float32)
    graph_def.node.extend(pixels_graph().node)
    assert spec_of(graph_def).pixel_input == "input:0"


def test_a_graph_imported_under_a_prefix() -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(pixels_graph()), name="import")
    spec = spec_of(own(graph.as_graph_def()))
    assert (spec.pixel_input, spec.bottleneck) == ("import/input:0", "import/pool:0")


def test_a_graph_imported_under_a_prefix_with_an_image_side() -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(inception_like()), name="import")
    spec = spec_of(own(graph.as_graph_def()))
    assert spec.encoded_input == "import/DecodeJpeg/contents:0"
    assert (spec.pixel_input, spec.bottleneck) == ("import/Mul:0", "import/pool_3/_reshape:0")


def test_a_graph_without_an_image_input() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "a", np.float32(1))
    with pytest.raises(InputError) as error:
        spec_of(graph_def)
    assert str(error.value) == (
        "No tensor of g.pb is seen to take images; name it with input_layer. "
        "List them: list_tensors --graph=g.pb"
    )


def test_an_input_that_nothing_follows() -> None:
    with pytest.raises(InputError) as error:
        spec_of(inception_like(), input_layer="softmax", input_height=1, input_width=1)
    assert str(error.value) == (
        "Nothing in g.pb is computed from 'softmax:0'; name the tensor that takes images "
        "with input_layer."
    )


def test_bottlenecks_are_found_without_a_size(own_entry: None) -> None:
    found = find_bottlenecks(without_size(), "g.pb", None)
    assert [(c.tensor, c.shape, c.depth) for c in found] == [
        ("relu:0", (None, None, None, 6), 6),  # the catalogue's
        ("squeezed:0", (None, 5), 5),
    ]


def test_bottlenecks_behind_another_input_layer() -> None:
    found = find_bottlenecks(inception_like(), "g.pb", None, input_layer="conv")
    assert found[0].tensor == "pool_3/_reshape:0"
    with pytest.raises(InputError, match=r"Nothing in g\.pb is computed from 'softmax:0'"):
        find_bottlenecks(inception_like(), "g.pb", None, input_layer="softmax")


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_making_a_spec_does_not_change_the_graph(make: Any) -> None:
    graph_def = make()
    before = graph_def.SerializeToString(deterministic=True)
    spec_of(graph_def)
    assert graph_def.SerializeToString(deterministic=True) == before


def test_the_real_graph_of_2015() -> None:
    frozen = load_graph(str(real(NEAR_REAL)))
    assert frozen.spec == GraphSpec(
        encoded_input="DecodeJpeg/contents:0",
        decoded="DecodeJpeg:0",
        resized="ResizeBilinear:0",
        pixel_input="Mul:0",
        image_size=(299, 299),
        mean=128.0,
        std=128.0,
        bottleneck="pool_3/_reshape:0",
        final="softmax:0",
    )
    assert frozen.entry is not None
    assert frozen.entry.name == "inception-2015-12-05"


@pytest.mark.parametrize(
    ("file", "final"),
    [
        (MOBILENET, "MobilenetV1/Predictions/Reshape_1:0"),
        (MOBILENET_QUANTIZED, "MobilenetV1/Predictions/Reshape_1:0"),
        (MOBILENET_RETRAINED, "final_result:0"),
    ],
)
def test_real_mobilenets(file: str, final: str) -> None:
    frozen = load_graph(str(real(file)))
    bottleneck = "MobilenetV1/Predictions/Reshape:0"
    assert frozen.spec == GraphSpec(
        None, None, None, "input:0", (128, 128), 127.5, 127.5, bottleneck, final
    )
    assert frozen.entry is not None
    assert frozen.entry.name == "mobilenet_v1_0.25_128"


def test_the_padding_of_the_first_layer_belongs_to_the_network(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        contents = tf.compat.v1.placeholder(tf.string, [], "DecodeJpeg/contents")
        image = tf.cast(tf.io.decode_jpeg(contents, channels=3), tf.float32)
        resized = tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=[8, 8])
        pixels = tf.compat.v1.placeholder_with_default(resized, [None, 8, 8, 3], "input")
        padded = tf.pad(pixels, [[0, 0], [3, 3], [3, 3], [0, 0]])
        maps = tf.nn.conv2d(padded, tf.ones([7, 7, 3, 4]), 2, "VALID")
        tf.reduce_mean(maps, [1, 2], name="features")
    path = tmp_path / "padded.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    spec = load_graph(str(path)).spec
    assert (spec.pixel_input, spec.image_size) == ("input:0", (8, 8))
