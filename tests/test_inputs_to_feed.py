"""Real files with more inputs than one image, and a network of one channel, on the command line.

What is right for the real files is in shared/data/wild/README.md.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrain_tools.features.cache import parse_bottleneck
from retrain_tools.quiet_tensorflow import tf
from tests.head.scripts import Finished
from tests.script_process import RunScript

WILD = Path(__file__).resolve().parents[2] / "shared" / "data" / "wild"
KEEP = "--feed=Pholder11:0=1.0"
SCALED = ["--input_mean=0", "--input_std=255"]


def wild(name: str) -> Path:
    path = WILD / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six smooth photos each, colour JPEGs but for one PNG with transparency."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 120)):
        (folder / label).mkdir()
        for number in range(6):
            few = rng.integers(low, low + 120, (4, 5, 3 if number else 4), np.uint8)
            image = Image.fromarray(few).resize((90, 70), Image.Resampling.BICUBIC)
            image.save(folder / label / f"{number}.{'jpg' if number else 'png'}")
    return folder


@pytest.fixture(scope="module")
def run(run_script: RunScript) -> RunScript:
    def run(script: str, graph: Path, *flags: object, cwd: Path) -> Finished:
        return run_script(f"retrain_tools.{script}", f"--graph={graph}", *flags, cwd=cwd)

    return run


@pytest.fixture(scope="module")
def summary(run: RunScript) -> Callable[..., Any]:
    def summary(path: Path, *flags: str) -> Any:
        done = run("list_tensors", path, "--summary", "--format=json", *flags, cwd=path.parent)
        assert done.status == 0, done.err
        return json.loads(done.out)

    return summary


def told(ends: list[dict[str, Any]]) -> list[tuple[str, Any, str]]:
    return [(end["name"], end["shape"], end["why"]) for end in ends]


def session_run(graph: Path, fetch: str, feeds: dict[str, Any]) -> Any:
    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    with tf.Graph().as_default() as opened:
        tf.compat.v1.import_graph_def(graph_def, name="")
    with tf.compat.v1.Session(graph=opened) as session:
        return session.run(fetch, feeds)


def prepared(image: Path, size: int) -> Any:
    """Grey as TensorFlow decodes it with channels=1, resized as TensorFlow 1 does, 0 to 1."""
    grey = tf.image.decode_image(image.read_bytes(), channels=1)
    pixels = tf.cast(grey, tf.float32)[tf.newaxis]
    return tf.raw_ops.ResizeBilinear(images=pixels, size=[size, size]).numpy() / 255.0


def test_an_lstm_that_takes_rows_is_offered_python_and_the_line_runs(
    summary: Callable[..., Any],
) -> None:
    path = wild("onnx_lstm_frozen.pb")
    found = summary(path)
    assert told(found["inputs"]) == [
        ("X:0", [None, 784], "data that has to be fed"),
        (
            "keep_prob:0",
            None,
            "a scalar that has to be fed: dropout's part to keep, 1 outside of training",
        ),
    ]
    assert found["bottlenecks"] == []
    [command] = found["commands"]
    assert command == (
        "python -c 'import numpy as np, retrain_tools as rt; print(rt.run(rt.load("
        f'"{path}"), ["output:0"], {{"X:0": np.zeros((1, 784)), "keep_prob:0": 1.0}}))\''
    )
    exact = session_run(path, "output:0", {"X:0": np.zeros((1, 784)), "keep_prob:0": 1.0})
    np.testing.assert_allclose(printed_row(command), exact[0], atol=1e-4)


def printed_row(command: str) -> list[float]:
    """Run a line of Python as it was printed and return the one row that it prints."""
    python, *rest = shlex.split(command)
    assert python == "python"
    line = [sys.executable, *rest]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return [float(n) for n in done.stdout.split("[[")[1].split("]]")[0].split(",")]


def test_the_line_says_again_what_was_chosen(run: RunScript, tmp_path: Path) -> None:
    class Sums(tf.Module):  # type: ignore[misc]
        @tf.function
        def add(self, a: Any, scale: Any) -> Any:
            return {"sum": (a + 5.0) * scale}

    module, folder = Sums(), tmp_path / "it's"
    rows, scale = tf.TensorSpec([None, 3]), tf.TensorSpec([])
    signatures = {
        "plus": module.add.get_concrete_function(rows, scale),
        "times": module.add.get_concrete_function(scale, scale),
    }
    tf.saved_model.save(module, str(folder), signatures)
    done = run("list_tensors", folder, "--summary", "--signature=plus", cwd=tmp_path)
    assert done.status == 0, done.err
    [command] = [line.strip() for line in done.out.splitlines() if "python -c" in line]
    assert ', signature="plus")' in command
    assert printed_row(command) == [0.0, 0.0, 0.0]
    scale_name = next(name for name in command.split('"') if "scale" in name)
    feed = f"--feed={scale_name}=2"
    done = run("list_tensors", folder, "--summary", "--signature=plus", feed, cwd=tmp_path)
    [command] = [line.strip() for line in done.out.splitlines() if "python -c" in line]
    assert f', signature="plus", feed={{"{scale_name}": 2}})' in command
    assert printed_row(command) == [10.0, 10.0, 10.0]


def test_a_graph_without_images_is_offered_no_command_for_images(
    run: RunScript, photos: Path, tmp_path: Path
) -> None:
    path = wild("onnx_lstm_frozen.pb")
    text = run("list_tensors", path, "--summary", cwd=tmp_path).out
    assert not any(word in text for word in ("image_dir", "label_image", "Worth caching"))
    for script in ("bottlenecks", "label_image", "retrain"):
        flag = "" if script == "label_image" else f"--image_dir={photos}"
        more = [photos] if script == "label_image" else []
        done = run(script, path, *filter(None, [flag]), *more, cwd=tmp_path)
        assert (done.status, done.err.splitlines()[-1]) == (
            2,
            f"error: No tensor of {path} is seen to take images; name it with --input_layer. "
            f"List them: list_tensors --graph={path}",
        )
    done = run("bottlenecks", path, f"--image_dir={photos}", "--input_layer=X", cwd=tmp_path)
    assert done.err.splitlines()[-1] == (
        f"error: 'X:0' of {path} takes [?, 784], and images are fed as "
        "[?, height, width, 3 or 1]; name another tensor with --input_layer."
    )


def test_a_small_network_of_one_channel_says_what_it_takes(summary: Callable[..., Any]) -> None:
    path = wild("kisan_output_graph.pb")
    found = summary(path)
    assert told(found["inputs"]) == [
        (
            "Pholder0:0",
            [None, 64, 64, 1],
            "pixels of grey images: a placeholder of the type and shape of images",
        ),
        (
            "Pholder11:0",
            None,
            "a scalar that has to be fed: dropout's part to keep, 1 outside of training",
        ),
    ]
    assert told(found["outputs"])[0] == ("logit:0", [None, 34], "a MatMul that no node takes")
    assert found["image_size"] == [64, 64]
    assert len(found["commands"]) == 3
    assert all(f" {KEEP} " in command for command in found["commands"])
    fed = summary(path, KEEP)
    assert [name for name, _, _ in told(fed["inputs"])] == ["Pholder0:0"]
    assert fed["commands"] == [
        command.replace(f" {KEEP}", "").replace("graph.pb", f"graph.pb {KEEP}")
        for command in found["commands"]
    ]


def test_what_else_has_to_be_fed_is_said_before_anything_runs(
    run: RunScript, photos: Path, tmp_path: Path
) -> None:
    path = wild("kisan_output_graph.pb")
    images = f"--image_dir={photos}"
    for script, tensor, flags in (
        ("bottlenecks", "Relu_2:0", [images]),
        ("label_image", "logit:0", [images, "--output_layer=logit"]),
        ("fetch_tensors", "logit:0", [images, "--tensors=logit", "--output=out.npz"]),
    ):
        done = run(script, path, *SCALED, *flags, cwd=tmp_path)
        assert done.status == 2
        assert done.err.splitlines()[-1] == (
            f"error: '{tensor}' of {path} needs 'Pholder11:0' (dropout's part to keep, 1 outside "
            f"of training) beside images; give it with {KEEP}, or choose a tensor that is computed "
            "from images alone."
        )


def test_a_network_of_one_channel_is_fetched_cached_and_labelled(
    run: RunScript, photos: Path, tmp_path: Path
) -> None:
    path = wild("kisan_output_graph.pb")
    common = [*SCALED, KEEP, f"--image_dir={photos}"]
    done = run(
        "fetch_tensors", path, *common, "--tensors=logit,Relu", "--output=a.npz", cwd=tmp_path
    )
    assert done.status == 0, done.err
    done = run("bottlenecks", path, *common, "--bottleneck_tensor=Relu_2", cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.out.startswith("12 computed, 0 reused")
    (tmp_path / "labels.txt").write_text("".join(f"class {n}\n" for n in range(34)))
    flags = ["--output_layer=logit", "--labels=labels.txt", "--format=json", "--top_k=34"]
    labelled = run("label_image", path, *common, *flags, cwd=tmp_path)
    assert labelled.status == 0, labelled.err
    scores = {
        one["image"]: {best["label"]: best["score"] for best in one["labels"]}
        for one in json.loads(labelled.out)
    }
    with np.load(tmp_path / "a.npz") as stored:
        images, logits, maps = stored["images"], stored["logit"], stored["Relu"]
    assert len(images) == 12
    assert maps.shape == (12, 26, 26, 16)
    for image, found in zip(images, logits, strict=True):
        feeds = {"Pholder0:0": prepared(Path(image), 64), "Pholder11:0": 1.0}
        exact, cached = session_run(path, ["logit:0", "Relu_2:0"], feeds)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, exact[0], atol=1e-4)
        given = [scores[str(image)][f"class {n}"] for n in range(34)]
        np.testing.assert_allclose(given, exact[0], atol=1e-4)
        relative = Path(image).relative_to(photos)
        text = (tmp_path / "bottlenecks" / f"{relative}.txt").read_bytes()
        np.testing.assert_allclose(parse_bottleneck(text), cached[0], atol=1e-4)


def test_another_value_is_another_cache(run: RunScript, photos: Path, tmp_path: Path) -> None:
    path = wild("kisan_output_graph.pb")
    common = [*SCALED, f"--image_dir={photos}", "--bottleneck_tensor=dropout_1/mul"]
    assert run("bottlenecks", path, *common, KEEP, cwd=tmp_path).status == 0
    again = run("bottlenecks", path, *common, KEEP, cwd=tmp_path)
    assert again.out.startswith("0 computed, 12 reused")
    other = run("bottlenecks", path, *common, "--feed=Pholder11:0=0.5", cwd=tmp_path)
    assert other.status == 2
    assert "were made by another graph or in another way" in other.err


def test_a_network_of_one_channel_is_retrained_and_its_graph_labels(
    run: RunScript, summary: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    path = wild("kisan_output_graph.pb")
    flags = [*SCALED, KEEP, f"--image_dir={photos}", "--how_many_training_steps=30"]
    done = run("retrain", path, *flags, "--saved_model_dir=saved", cwd=tmp_path)
    assert done.status == 0, done.err
    output = next(tmp_path.rglob("output_graph.pb"))
    found = summary(output)
    assert found["inputs"][0]["why"] == "the bytes of one image: DecodeJpeg takes it"
    image = photos / "light" / "1.jpg"
    labelled = run("label_image", output, image, "--format=json", cwd=tmp_path)
    assert labelled.status == 0, labelled.err
    [best] = json.loads(labelled.out)
    scores = {one["label"]: one["score"] for one in best["labels"]}
    exact = session_run(output, "final_result:0", {"Pholder0:0": prepared(image, 64)})
    np.testing.assert_allclose([scores["dark"], scores["light"]], exact[0], atol=1e-4)
    saved = tf.saved_model.load(str(next(tmp_path.rglob("saved_model.pb")).parent))
    given = saved.signatures["serving_default"](tf.constant([image.read_bytes()]))
    np.testing.assert_allclose(given["scores"].numpy(), exact, atol=1e-4)


@pytest.mark.parametrize("text", ["keep_prob", "=1.0", "keep_prob=", "keep_prob=one"])
def test_a_value_that_is_none_is_refused(run: RunScript, tmp_path: Path, text: str) -> None:
    done = run("list_tensors", tmp_path / "g.pb", f"--feed={text}", cwd=tmp_path)
    assert (done.status, done.err) == (
        2,
        f"error: --feed={text} is not NAME=VALUE, as keep_prob:0=1.0; a value is a number, true, "
        "false, or a list as [1, 2].\n",
    )


def test_a_graph_is_frozen_with_the_values_in_it(run: RunScript, tmp_path: Path) -> None:
    path = wild("kisan_output_graph.pb")
    done = run("freeze_graph", path, KEEP, "--output=frozen.pb", cwd=tmp_path)
    assert done.status == 0, done.err
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 64, 64, 1))
    found = session_run(tmp_path / "frozen.pb", "logit:0", {"Pholder0:0": pixels})
    exact = session_run(path, "logit:0", {"Pholder0:0": pixels, "Pholder11:0": 1.0})
    np.testing.assert_allclose(found, exact, atol=1e-5)
