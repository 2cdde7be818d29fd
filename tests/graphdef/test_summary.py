from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.summary import Summary
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import build_network, plan_network
from tests.opening import read_graph_def

from .tiny_graphs import (
    CLASSES,
    DEPTH,
    MOBILENET,
    MOBILENET_QUANTIZED,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    add,
    add_constant,
    empty_graph,
    inception_like,
    jpeg,
    pixels_graph,
    real,
    write,
)


def summary_of(path: Path, **rest: Any) -> Summary:
    return summarize(read_graph_def(path), path, **rest)


def told(summary: Summary) -> tuple[list[str], list[str], str | None]:
    """Inputs, outputs and the best bottleneck, by name."""
    best = summary.bottlenecks[0].tensor if summary.bottlenecks else None
    return (
        [guess.tensor.name for guess in summary.inputs],
        [guess.tensor.name for guess in summary.outputs],
        best,
    )


@pytest.mark.parametrize(
    ("file", "inputs", "outputs", "bottleneck", "size", "parameters", "network"),
    [
        (
            NEAR_REAL,
            ["DecodeJpeg/contents:0", "Mul:0"],
            ["softmax:0"],
            "pool_3/_reshape:0",
            (299, 299),
            23_885_392,
            "inception-2015-12-05",
        ),
        (
            MOBILENET,
            ["input:0"],
            ["MobilenetV1/Predictions/Reshape_1:0"],
            "MobilenetV1/Predictions/Reshape:0",
            (128, 128),
            475_801,
            "mobilenet_v1_0.25_128",
        ),
        (
            MOBILENET_RETRAINED,
            ["input:0", "input_1/BottleneckInputPlaceholder:0"],
            ["final_result:0"],
            "MobilenetV1/Predictions/Reshape:0",
            (128, 128),
            481_813,
            "mobilenet_v1_0.25_128",
        ),
        (
            MOBILENET_QUANTIZED,
            ["input:0"],
            ["MobilenetV1/Predictions/Reshape_1:0"],
            "MobilenetV1/Predictions/Reshape:0",
            (128, 128),
            468_833,
            "mobilenet_v1_0.25_128",
        ),
    ],
)
def test_real_graphs(
    file: str,
    inputs: list[str],
    outputs: list[str],
    bottleneck: str,
    size: tuple[int, int],
    parameters: int,
    network: str,
) -> None:
    path = real(file)
    summary = summary_of(path)
    assert told(summary) == (inputs, outputs, bottleneck)
    assert summary.image_size == size
    assert summary.parameters == parameters
    # Of these only the graph before retraining is the published file, by its checksum.
    called = f"{network} of the catalogue: "
    if file != MOBILENET:
        called = f"same structure as {network} of the catalogue ("
    assert (summary.network or "").startswith(called)
    networks = "this network" if file == MOBILENET else "networks of this structure"
    assert summary.bottlenecks[0].why == f"what retrain.py cached for {networks}"
    assert summary.unavailable == {}
    assert summary.unmeasured_layers == 0
    assert summary.file_bytes == path.stat().st_size


def test_the_graph_of_2015_in_all_its_parts() -> None:
    summary = summary_of(real(NEAR_REAL))
    assert (summary.nodes, summary.tensors, summary.functions) == (1004, 1004, 0)
    assert summary.flops == 2 * 5_713_232_480
    assert summary.parameters == pytest.approx(23.851784e6, rel=0.01)  # Keras's InceptionV3
    assert [found.op for found in summary.deprecated] == ["BatchNormWithGlobalNormalization"]
    assert next(iter(summary.ops.items())) == ("Const", 488)
    assert summary.versions.producer == 8
    graph = f"--graph={real(NEAR_REAL)}"
    bottleneck = "--bottleneck_tensor=pool_3/_reshape:0"
    assert summary.commands == (
        f"retrain_tools.bottlenecks {graph} {bottleneck} --image_dir=FOLDER --bottleneck_dir=CACHE",
        f"retrain_tools.retrain {graph} {bottleneck} --image_dir=FOLDER",
        f"retrain_tools.label_image {graph} --output_layer=softmax:0 --image=IMAGE.jpg",
    )


def test_a_frozen_slim_network(tmp_path: Path) -> None:
    plan = plan_network("mobilenet_v1", width=0.25, image_size=64)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in plan.variables.items()
    }
    built = build_network("mobilenet_v1", weights, image_size=64, width=0.25)
    note = Note(
        source="mobilenet_v1",
        preprocess="resize",
        mean=127.5,
        std=127.5,
        bottleneck=built.bottleneck,
        final=built.predictions,
        end_points=built.end_points,
    )
    write_note(built.graph_def, built.input, note)
    summary = summary_of(write(built.graph_def, tmp_path / "slim.pb"))
    inputs, outputs, bottleneck = told(summary)
    assert (inputs, bottleneck) == ([built.input], built.bottleneck)
    assert outputs[0] == built.predictions
    assert summary.outputs[0].why == "what its note names"
    assert summary.bottlenecks[0].why == "what its note names"
    assert summary.network == "mobilenet_v1, as the note in it says"
    assert summary.image_size == (64, 64)
    assert str(summary.pixels) == f"-1 to 1 at {built.input}: what its note says"
    assert summary.pooling[0].how == "global average of [2, 2, 256]"
    assert summary.pooling[0].before == built.end_points["Conv2d_13_pointwise"]


@pytest.mark.parametrize(
    ("file", "pixels", "answer", "before"),
    [
        (
            NEAR_REAL,
            "encoded images go in, which the graph prepares itself; of 0 to 255 it makes -1 to 1",
            "yes, a vector of 2,048 (global average of [8, 8, 2048]); no GlobalAveragePooling2D is "
            "needed",
            "mixed_10/join:0",
        ),
        (
            MOBILENET,
            "-1 to 1 at input:0: what the catalogue says of this network",
            "yes, a vector of 1,001 (global average of [4, 4, 256], then 1 layer with weights); no "
            "GlobalAveragePooling2D is needed",
            "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6:0",
        ),
    ],
)
def test_pixels_and_pooling_of_real_graphs(
    file: str, pixels: str, answer: str, before: str
) -> None:
    summary = summary_of(real(file))
    assert str(summary.pixels) == pixels
    assert (summary.pooling[0].answer, summary.pooling[0].before) == (answer, before)
    result = summary.pooling[1]
    assert (result.role, result.before) == ("result", before)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("inception_v1", 6.619e6),  # Open Model Zoo, googlenet-v1-tf: frozen, as ours is
        ("resnet_v1_50", 25.53e6),  # Open Model Zoo, resnet-50-tf; strides do not matter here
    ],
)
def test_parameters_of_frozen_networks_against_published_figures(
    tmp_path: Path, name: str, published: float
) -> None:
    shapes = plan_network(name).variables
    weights = {key: np.broadcast_to(np.float32(1), shape) for key, shape in shapes.items()}
    summary = summary_of(write(build_network(name, weights).graph_def, tmp_path / "frozen.pb"))
    assert summary.parameters == pytest.approx(published, rel=0.01)


def test_a_small_graph_of_2015(tmp_path: Path) -> None:
    summary = summary_of(write(inception_like(), tmp_path / "g.pb"))
    assert told(summary) == (["DecodeJpeg/contents:0", "Mul:0"], ["softmax:0"], "pool_3/_reshape:0")
    assert [guess.why for guess in summary.inputs] == [
        "the bytes of one image: DecodeJpeg takes it",
        "prepared pixels: what the first layer takes after the decoding",
    ]
    assert [guess.why for guess in summary.outputs] == ["a softmax that no node takes"]
    weights = 3 * 3 * 3 * 8 + 4 * 8 + 8 * 20 + 4 * 20 + DEPTH * CLASSES + CLASSES
    assert summary.parameters == weights
    assert summary.network is None
    layers = 4 * 4 * 8 * 27 + 4 * 4 * 20 * 8 + CLASSES * DEPTH
    assert summary.flops == 2 * layers


def test_an_example_image_is_an_input(tmp_path: Path) -> None:
    summary = summary_of(write(inception_like(jpeg()), tmp_path / "g.pb"))
    assert summary.inputs[0].tensor.name == "DecodeJpeg/contents:0"
    assert summary.inputs[0].tensor.op == "Const"


def test_a_graph_of_pixels_says_what_to_look_at(tmp_path: Path) -> None:
    path = write(pixels_graph(), tmp_path / "my graph.pb")
    summary = summary_of(path)
    assert told(summary) == (["input:0"], ["probabilities:0"], "pool:0")
    assert summary.inputs[0].why == "pixels: a placeholder of the type and shape of images"
    assert [command.split()[0] for command in summary.commands] == [
        "retrain_tools.bottlenecks",
        "retrain_tools.retrain",
        "retrain_tools.label_image",
    ]
    assert all("--input_mean=127.5 --input_std=127.5" in command for command in summary.commands)
    assert f"--graph='{path}'" in summary.commands[0]


def test_a_graph_without_images(tmp_path: Path) -> None:
    graph_def = empty_graph(24)
    add(graph_def, "x", "Placeholder", dtype=tf.int64, shape=tf.TensorShape([3]))
    add_constant(graph_def, "one", np.int64(1))
    add(graph_def, "y", "Add", ["x", "one"], T=tf.int64)
    add(graph_def, "z", "Mystery", ["y"], T=tf.int64)
    summary = summary_of(write(graph_def, tmp_path / "g.pb"))
    assert told(summary) == (["x:0"], ["z:0"], None)
    assert summary.inputs[0].why == "data that has to be fed"
    assert summary.outputs[0].why == "a Mystery that no node takes"
    assert summary.commands == ()
    assert (summary.flops, summary.parameters, summary.image_size) == (0, 0, None)
    assert summary.unavailable == {"Mystery": 1}


def test_images_of_whole_numbers_are_told_from_those_that_files_give(tmp_path: Path) -> None:
    graph_def = empty_graph(24)
    shape = tf.TensorShape([1, None, None, 3])
    add(graph_def, "image_tensor", "Placeholder", dtype=tf.uint8, shape=shape)
    add(graph_def, "x", "Cast", ["image_tensor"], SrcT=tf.uint8, DstT=tf.float32)
    summary = summary_of(write(graph_def, tmp_path / "g.pb"))
    [image] = summary.inputs
    assert image.tensor.name == "image_tensor:0"
    assert image.why == "images as arrays of uint8: only float32 pixels are fed from files"
    assert [command for command in summary.commands if "--image_dir" in command] == []


def test_the_output_that_images_lead_to_comes_first(tmp_path: Path) -> None:
    graph_def = inception_like()
    add_constant(graph_def, "lonely/c", np.float32(3))
    add(graph_def, "lonely", "Neg", ["lonely/c"], T=tf.float32)
    for node in list(graph_def.node)[-2:]:  # to the front of the file
        graph_def.node.insert(0, node)
        del graph_def.node[-1]
    add(graph_def, "aux", "Relu", ["conv"], T=tf.float32)
    summary = summary_of(write(graph_def, tmp_path / "g.pb"))
    assert told(summary)[1] == ["softmax:0", "aux:0", "lonely:0"]


def test_an_input_that_the_user_names(tmp_path: Path) -> None:
    path = write(inception_like(), tmp_path / "g.pb")
    summary = summary_of(path, input_layer="conv")
    assert summary.inputs[0].tensor.name == "conv:0"
    assert summary.inputs[0].why == "pixels: named by the user"
    with pytest.raises(InputError, match="No tensor 'nowhere:0'"):
        summary_of(path, input_layer="nowhere")


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_nothing_changes_and_both_classes_give_the_same(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    graph_def = make()
    path = write(graph_def, tmp_path / "g.pb")
    before = graph_def.SerializeToString(deterministic=True)
    assert summarize(graph_def, path) == summary_of(path)
    assert graph_def.SerializeToString(deterministic=True) == before
