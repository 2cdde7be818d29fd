"""What failed in Compute-Features: its two networks, from checkpoints as TensorFlow wrote them.

There, a Saver of the whole graph asked a checkpoint of inception_v3 for variables of AuxLogits that
it has under other names, or not at all, and found no variables for inception_v4. Here a checkpoint
is read by the names that it has. The right values are the goldens', of the original definitions.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.graphdef.note import read_note
from retrain_tools.head.imagenet import imagenet_labels, known_labels
from tests.head.graphs import drawn_image
from tests.opening import freeze_checkpoint
from tests.slim.golden import Golden, draw_images, draw_variables, expected_variables, golden, run
from tests.slim.test_freezing import DECAYED, save

LOGITS = {
    "inception_v3": "InceptionV3/Logits/SpatialSqueeze:0",
    "inception_v4": "InceptionV4/Logits/Logits/BiasAdd:0",
}


def as_published(known: Golden, has_aux_logits: bool) -> dict[str, np.ndarray]:
    """The network's variables, and what training left beside them.

    The last biases are wrong, and their moving average is right: that is the one to take.
    """
    shapes = {
        name: shape
        for name, shape in known.variables.items()
        if has_aux_logits or "/AuxLogits/" not in name
    }
    assert has_aux_logits == any("/AuxLogits/" in name for name in shapes)
    variables = draw_variables(shapes)
    [biases] = [name for name in variables if name.endswith("biases") and "Aux" not in name]
    return variables | {
        "global_step": np.int64(4_000_000),
        biases: variables[biases] + 1,
        f"{biases}{DECAYED}": variables[biases],
        f"{biases}/RMSProp": np.ones_like(variables[biases]),
        f"{biases}/RMSProp_1": np.zeros_like(variables[biases]),
    }


@pytest.mark.parametrize(("name", "is_first"), [("inception_v3", True), ("inception_v4", False)])
def test_the_two_that_failed_give_the_originals_logits(name: str, is_first: bool, tmp_path: Path):
    known = golden(name)
    variables = as_published(known, has_aux_logits=is_first)
    frozen = freeze_checkpoint(save(variables, tmp_path / f"{name}.ckpt", v1=is_first))
    assert read_note(frozen.graph_def).source == name
    assert not any("AuxLogits" in node.name for node in frozen.graph_def.node)
    images = draw_images(known.image_size)[:1]
    [found] = run(frozen.graph_def, {"logits": LOGITS[name]}, images)["logits"]
    first = np.array(known.logits[0])
    np.testing.assert_allclose(found[: first.size], first, rtol=0, atol=1e-4 * first.std())
    assert known_labels(frozen, 1001) == imagenet_labels(1001)


def test_a_checkpoints_features_are_a_pickle_of_paths_and_vectors(tmp_path: Path):
    """As its README promises, and with the pixels that it fed: resized by Pillow, not scaled."""
    variables = draw_variables(expected_variables("mobilenet_v1", 5, 0.25))
    checkpoint = save(variables | {"global_step": np.int64(7)}, tmp_path / "model.ckpt")
    for number, name in enumerate(("a.jpg", "deep/er/b.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn_image(number, 40, 50).save(path)
    command = [sys.executable, "-m", "retrain_tools.fetch_tensors", f"--graph={checkpoint}",
               "--tensors=AvgPool_1a", "--pooling=avg", "--preprocess=none", "--input_height=32",
               "--input_width=32", "--image_dir=images", "--output=mobilenet_v1_features.pkl",
               f"--model_dir={tmp_path / 'models'}"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 computed, 0 reused, 0 failed" in done.stdout
    features = pickle.loads((tmp_path / "mobilenet_v1_features.pkl").read_bytes())
    assert type(features) is dict
    assert list(features) == ["images/a.jpg", "images/deep/er/b.png"]
    frozen = freeze_checkpoint(checkpoint, image_size=32)
    for path, feature in features.items():
        image = Image.open(tmp_path / path).resize((32, 32), Image.Resampling.BILINEAR)
        pixels = np.asarray(image, np.float32)[None]
        fetch = {"x": "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"}
        expected = np.squeeze(run(frozen.graph_def, fetch, pixels)["x"])
        assert feature.shape == expected.shape == (256,)
        np.testing.assert_allclose(feature, expected, rtol=0, atol=1e-4 * expected.std())
