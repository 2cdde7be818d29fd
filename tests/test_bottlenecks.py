"""The command line of `bottlenecks`, in a process of its own, also on real networks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf

DATA = Path(__file__).parents[2] / "shared" / "data"
MOBILENET = DATA / "mobilenet_v1_0.25_128" / "frozen_graph.pb"
NEAR_REAL = DATA / "inception-2015-12-05" / "near_real_graph_def.pb"
ORCHIDS = DATA / "orchids"

needs_real_data = pytest.mark.skipif(
    not (MOBILENET.exists() and NEAR_REAL.exists() and ORCHIDS.exists()),
    reason=f"the published networks and photos are not in {DATA}",
)


@pytest.fixture(scope="module")
def bottlenecks(run_script):
    def bottlenecks(*arguments, cwd="."):
        return run_script("retrain_tools.bottlenecks", *arguments, cwd=cwd)

    return bottlenecks


@pytest.fixture(scope="module")
def error_of(bottlenecks):
    """Runs what must fail: one `error:` line, nothing on stdout, exit status 2."""

    def error_of(*arguments):
        result = bottlenecks(*arguments)
        assert result.status == 2, result.err
        assert result.out == ""
        assert "Traceback" not in result.err
        [line] = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert result.err.endswith(f"{line}\n")
        return line.removeprefix("error: ")

    return error_of


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A graph that takes pixels and gives their mean colour and twice that."""
    tf_graph = tf.Graph()
    with tf_graph.as_default():
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        kernel = np.concatenate([np.eye(3), 2 * np.eye(3)], axis=1).reshape(1, 1, 3, 6)
        maps = tf.nn.conv2d(pixels, kernel.astype(np.float32), 1, "SAME", name="conv")
        tf.reduce_mean(maps, [1, 2], name="mean_colour")
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(tf_graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos/red").mkdir(parents=True)
    for number in range(5):
        image = np.full((9, 7 + number, 3), (255, 127, 0), np.uint8)
        data = tf.io.encode_png(image).numpy()
        (tmp_path / f"photos/red/{number}.png").write_bytes(data)
    return tmp_path / "photos"


SCALING = ("--input_mean=127.5", "--input_std=127.5")


def test_help_lists_every_flag(bottlenecks):
    result = bottlenecks("--help")
    assert result.status == 0
    assert result.err == ""
    assert result.out.startswith("Cache the bottleneck of every image in a folder")
    flags = set(re.findall(r"^  --(?:\[no\])?(\w+)", result.out, re.MULTILINE))
    assert flags == {
        *("graph", "image_dir", "bottleneck_dir", "bottleneck_tensor", "pooling"),
        *("bottleneck_suffix", "trust_cache", "cache_format", "on_error"),
        *("max_failures", "log_json", "allow_unsafe_graph"),
        *("precision", "batch_size", "threads", "self_check", "max_image_pixels", "model_dir"),
        *("tags", "signature", "output_node_names", "preprocess", "feed"),
        *("weights", "weights_seed", "include_top", "resize"),
        *("input_layer", "input_height", "input_width", "input_mean", "input_std"),
    }
    assert "<avg|max|flatten|none>" in " ".join(result.out.split())


def test_a_first_and_a_second_run_and_one_with_another_scaling(
    bottlenecks, error_of, graph, photos, tmp_path
):
    folder = tmp_path / "cache"
    arguments = (f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={folder}")
    first = bottlenecks(*arguments, *SCALING)
    assert first.status == 0, first.err
    assert re.fullmatch(
        rf"5 computed, 0 reused, 0 repaired, 0 failed \([\d.]+ images/s\): {folder}\n", first.out
    )
    assert first.err == ""
    text = (folder / "red/0.png.txt").read_text()
    colour = (np.array([255, 127, 0]) - 127.5) / 127.5
    expected = [*colour, *(2 * colour)]
    np.testing.assert_allclose([float(v) for v in text.split(",")], expected, atol=1e-5)
    second = bottlenecks(*arguments, *SCALING)
    assert second.out == f"0 computed, 5 reused, 0 repaired, 0 failed: {folder}\n"
    message = error_of(*arguments, "--input_mean=0", "--input_std=255")
    assert f"The bottlenecks in {folder} were made by another graph or in another way" in message
    assert '"mean": 127.5' in message
    assert '"mean": 0.0' in message
    assert "Use another --bottleneck_dir or another --bottleneck_suffix." in message


def test_where_everything_is_cached_no_tensorflow_is_imported(graph, photos, tmp_path):
    watched = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('tensorflow.python.tf2' in sys.modules))\n"
        "from retrain_tools import bottlenecks\n"
        "bottlenecks.script()\n"
    )
    flags = (f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={tmp_path / 'b'}")
    command = [sys.executable, "-c", watched, *flags, *SCALING]
    said = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said.append((done.stdout.partition(" reused")[0], done.stdout.splitlines()[-1]))
    assert said == [("5 computed, 0", "True"), ("0 computed, 5", "False")]


def test_warnings_go_to_stderr_and_the_default_cache_to_the_working_folder(
    bottlenecks, graph, photos, tmp_path
):
    (photos / "red/1.png").write_bytes(b"no image")
    result = bottlenecks(f"--graph={graph}", "--image_dir=photos", cwd=tmp_path)
    assert result.status == 1
    assert re.fullmatch(
        r"4 computed, 0 reused, 0 repaired, 1 failed \([\d.]+ images/s\): bottlenecks\n",
        result.out,
    )
    guess, failure = result.err.splitlines()
    assert guess.startswith(f"warning: {graph} is not in the catalogue")
    assert failure == "warning: photos/red/1.png is not a JPEG, PNG, GIF, BMP or WebP image"
    assert (tmp_path / "bottlenecks/red/4.png.txt").exists()


def test_on_error_fail_stops(error_of, graph, photos, tmp_path):
    (photos / "red/1.png").write_bytes(b"")
    message = error_of(
        *(f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={tmp_path / 'cache'}"),
        *("--on_error=fail", *SCALING),
    )
    assert message == f"{photos}/red/1.png is empty."


def test_flags_that_must_be_given(error_of, graph):
    assert error_of() == "--graph and --image_dir must be given; see --help."
    assert error_of(f"--graph={graph}") == "--image_dir must be given; see --help."


def test_flags_that_are_wrong(error_of, graph):
    assert "--pooling=average" in error_of("--pooling=average")
    assert "Did you mean: image_dir" in error_of("--image_dirs=x")


def test_a_missing_folder_and_a_file_for_a_folder(error_of, graph, tmp_path):
    gone = tmp_path / "gone"
    message = error_of(f"--graph={graph}", f"--image_dir={gone}")
    assert message == f"No such folder: {gone} (--image_dir)"
    message = error_of(f"--graph={graph}", f"--image_dir={graph}")
    assert message == f"{graph} is a file; --image_dir takes a folder of images."


def test_a_wrong_tensor_gets_the_nearest_name(error_of, graph, photos):
    message = error_of(
        f"--graph={graph}", f"--image_dir={photos}", "--bottleneck_tensor=mean_color"
    )
    assert message.startswith(f"No tensor 'mean_color:0' in {graph} (")
    assert "Did you mean 'mean_colour:0'? List them: list_tensors --graph=" in message


def test_something_that_is_no_graph(error_of, photos, tmp_path):
    path = tmp_path / "graph.pb"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    assert f"{path} is an image" in error_of(f"--graph={path}", f"--image_dir={photos}")


def test_a_folder_that_cannot_be_made(error_of, graph, photos):
    message = error_of(
        f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={graph}/cache", *SCALING
    )
    assert f"{graph} is a file; results cannot be written to {graph}/cache." in message


# --- real networks ---


def some_orchids(root, per_class):
    for label in sorted((ORCHIDS / "images").iterdir()):
        for photo in sorted(label.iterdir())[:per_class]:
            target = root / label.name / photo.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, target)
    return sorted(root.rglob("*.jpg"))


def untouched(path):
    """Return a session on the graph as it stands in the file."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
    return tf.compat.v1.Session(graph=graph)


def cached(folder, root, photo):
    text = (folder / f"{photo.relative_to(root)}.txt").read_text()
    return np.array([float(value) for value in text.split(",")])


@needs_real_data
def test_mobilenet_gives_what_the_published_graph_gives(bottlenecks, tmp_path):
    root, folder = tmp_path / "orchids", tmp_path / "cache"
    photos = some_orchids(root, 3)
    assert len(photos) == 21
    result = bottlenecks(
        f"--graph={MOBILENET}", f"--image_dir={root}", f"--bottleneck_dir={folder}"
    )
    assert result.out.startswith("21 computed, 0 reused, 0 repaired, 0 failed"), result.err
    inputs = []
    for photo in photos:
        image = tf.cast(tf.io.decode_jpeg(photo.read_bytes(), channels=3), tf.float32)
        resized = tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=[128, 128])
        inputs.append(((resized - 127.5) * (1 / 127.5)).numpy())
    with untouched(MOBILENET) as session:
        for photo, pixels in zip(photos, inputs, strict=True):
            [expected] = session.run("MobilenetV1/Predictions/Reshape:0", {"input:0": pixels})
            assert expected.shape == (1001,)
            np.testing.assert_allclose(cached(folder, root, photo), expected, rtol=0, atol=1e-4)


@needs_real_data
def test_the_2015_network_gives_what_its_graph_and_nearly_what_retrain_py_gave(
    bottlenecks, tmp_path
):
    root, folder = tmp_path / "orchids", tmp_path / "cache"
    photos = some_orchids(root, 1)[::2]
    result = bottlenecks(
        f"--graph={NEAR_REAL}", f"--image_dir={root}", f"--bottleneck_dir={folder}"
    )
    assert result.out.startswith("7 computed, 0 reused, 0 repaired, 0 failed"), result.err
    with untouched(NEAR_REAL) as session:
        for photo in photos:
            [expected] = session.run(
                "pool_3/_reshape:0", {"DecodeJpeg/contents:0": photo.read_bytes()}
            )
            found = cached(folder, root, photo)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
            published = cached(ORCHIDS / "bottlenecks", root, photo)
            assert np.corrcoef(found, published)[0, 1] > 0.9
