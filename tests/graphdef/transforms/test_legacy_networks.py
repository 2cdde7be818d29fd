"""legacy on whole networks, and loaded by old TensorFlows where these are at hand.

    RETRAIN_TOOLS_OLD_TENSORFLOWS=2.12=/tmp/tf212/bin/python,1.4=/tmp/tf14/bin/python pytest …

Each is a Python in which `import tensorflow` gives that version.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.transforms.legacy import legacy
from retrain_tools.graphdef.weights import whole_graph
from retrain_tools.sources.open import load

from ..tiny_graphs import MOBILENET_RETRAINED, NEAR_REAL, real, run
from .running import apart, run_light
from .test_legacy import assert_fits

RNG = np.random.default_rng(3)
CHILD = """
import sys
import numpy as np
import tensorflow as tf
tf = getattr(getattr(tf, "compat", None), "v1", tf)
graph_def = tf.GraphDef()
with open(sys.argv[1], "rb") as file:
    graph_def.ParseFromString(file.read())
with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name="")
with tf.Session(graph=graph) as session:
    images = np.load(sys.argv[2])
    np.save(sys.argv[3], session.run(sys.argv[5], {sys.argv[4]: images}))
"""


def old_pythons() -> dict[str, str]:
    said = os.environ.get("RETRAIN_TOOLS_OLD_TENSORFLOWS", "")
    return dict(entry.split("=", 1) for entry in said.split(",") if entry)


def retrained() -> tuple[Any, str, str, Any]:
    graph_def = schema.GraphDef.FromString(real(MOBILENET_RETRAINED).read_bytes())
    images = RNG.uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    return graph_def, "input:0", "final_result:0", images


def of_2015() -> tuple[Any, str, str, Any]:
    graph_def = schema.GraphDef.FromString(real(NEAR_REAL).read_bytes())
    images = RNG.uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    return graph_def, "Mul:0", "softmax:0", images


def keras_mobilenet() -> tuple[Any, str, str, Any]:
    model = load(
        "keras:MobileNetV2", weights="none", include_top=True, input_height=96, input_width=96
    )
    frozen = model.frozen()
    images = RNG.uniform(-1, 1, (2, 96, 96, 3)).astype(np.float32)
    assert frozen.spec.final is not None
    return frozen.graph_def, frozen.spec.pixel_input, frozen.spec.final, images


@pytest.fixture(scope="module", params=[retrained, of_2015, keras_mobilenet])
def network(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_networks_fit_tensorflow_1_4_and_keep_their_values(network: Any) -> None:
    graph_def, start, end, images = network
    light, weights = legacy(*apart(graph_def), [node_name(end)])
    assert_fits(light, "1.4")
    expected = run(graph_def, end, {start: images})
    found = run_light(light, weights, end, {start: images})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_folded_network_fits_too(network: Any) -> None:
    graph_def, start, end, images = network
    light, weights = fold_batch_norms(*apart(graph_def), [node_name(end)])
    light, weights = legacy(light, weights, [node_name(end)])
    assert_fits(light, "1.4")
    expected = run(graph_def, end, {start: images})
    found = run_light(light, weights, end, {start: images})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("version", ["2.12", "1.4"])
def test_old_tensorflows_load_and_run_them(network: Any, version: str, tmp_path: Path) -> None:
    python = old_pythons().get(version)
    if python is None:
        pytest.skip(f"RETRAIN_TOOLS_OLD_TENSORFLOWS names no Python with TensorFlow {version}")
    graph_def, start, end, images = network
    light, weights = legacy(*apart(graph_def), [node_name(end)])
    (tmp_path / "old.pb").write_bytes(whole_graph(light, weights).SerializeToString())
    np.save(tmp_path / "images.npy", images)
    command = [python, "-c", CHILD, "old.pb", "images.npy", "result.npy", start, end]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = run(graph_def, end, {start: images})
    np.testing.assert_allclose(np.load(tmp_path / "result.npy"), expected, rtol=0, atol=1e-5)
