"""The goldens of /work/shared: what the original definitions make of drawn variables and images."""

from __future__ import annotations

import dataclasses
import functools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import plan_network

FOLDER = (Path(__file__).resolve().parents[3] / "shared/golden/slim").resolve()

NAMES = (
    "alexnet_v2",
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "mobilenet_v1_0.25_128",
    "mobilenet_v1_0.5_160",
    "mobilenet_v1_1.0_224",
    "resnet_v1_101",
    "resnet_v1_152",
    "resnet_v1_50",
    "resnet_v2_101",
    "resnet_v2_152",
    "resnet_v2_50",
    "vgg_16",
    "vgg_19",
)
WITH_AUX_LOGITS = ("inception_v3", "inception_v4", "inception_resnet_v2")
WITH_VALUES = (
    "inception_v1",
    "inception_v3",
    "inception_v4",
    "mobilenet_v1_0.25_128",
    "resnet_v1_50",
    "vgg_16",
)


@dataclasses.dataclass(frozen=True)
class Golden:
    """One file; `end_points` as it has them, with the batch of 2 in the shapes."""

    name: str
    width: float
    image_size: int
    num_classes: int
    variables: dict[str, tuple[int, ...]]
    end_points: dict[str, dict[str, Any]]
    logits: list[list[float]] | None

    @property
    def has_aux_logits(self) -> bool:
        return "AuxLogits" in self.end_points


@functools.cache
def golden(file: str) -> Golden:
    """Read a golden, or skip the test where they are not at hand."""
    path = FOLDER / f"{file}.json"
    if not path.exists():
        pytest.skip(f"golden is not here: {path}")
    read = json.loads(path.read_text())
    is_mobilenet = file.startswith("mobilenet_v1")
    return Golden(
        name="mobilenet_v1" if is_mobilenet else file,
        width=float(file.split("_")[2]) if is_mobilenet else 1.0,
        image_size=read["image_size"],
        num_classes=read["num_classes"],
        variables={name: tuple(shape) for name, shape in read["variables"].items()},
        end_points=read["end_points"],
        logits=read.get("logits"),
    )


def expected_variables(
    name: str, num_classes: int | None = None, width: float = 1.0
) -> dict[str, tuple[int, ...]]:
    """The shapes of all variables of a network by name, those of AuxLogits included."""
    aux_logits = name in WITH_AUX_LOGITS
    return plan_network(name, num_classes, width, aux_logits=aux_logits).variables


def draw_variable(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a variable by the goldens' recipe."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    match name.split("/")[-1]:
        case "moving_variance":
            value = random.uniform(0.5, 1.5, shape)
        case "gamma":
            value = random.uniform(0.8, 1.2, shape)
        case "moving_mean" | "beta" | "biases":
            value = 0.1 * random.standard_normal(shape)
        case "depthwise_weights":
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:2]))
        case _:
            value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return value.astype(np.float32)


def draw_variables(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: draw_variable(name, shape) for name, shape in shapes.items()}


def draw_images(size: int) -> np.ndarray:
    """Draw the goldens' two images: float32 [2, size, size, 3]."""
    return np.random.RandomState(0).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)


def run(
    graph_def: Any, fetches: dict[str, str], value: np.ndarray, feed: str = "input:0"
) -> dict[str, np.ndarray]:
    config = tf.compat.v1.ConfigProto()
    # Optimizing takes TensorFlow most of a minute with the constants of VGG in the graph.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default():
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()), name=""
        )
        with tf.compat.v1.Session(config=config) as session:
            return session.run(fetches, {feed: value})
