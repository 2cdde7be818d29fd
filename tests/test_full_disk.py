"""Scripts on a disk that is full: what they say that is lacking is what is lacking."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from retrain_tools.quiet_tensorflow import tf

DEPTH, IMAGES = 3000, 60
_UNITS = {"bytes": 1, "kB": 1000, "MB": 1_000_000}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A graph of 3,000 features, which takes pixels, and photos."""
    folder = tmp_path_factory.mktemp("job")
    numbers = np.random.default_rng(0)
    weights = numbers.normal(size=(3, DEPTH)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.matmul(tf.reduce_mean(pixels, [1, 2]), tf.constant(weights), name="features")
    (folder / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    for number in range(IMAGES):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    return folder


WAYS = {
    "text": ("bottlenecks", "b", ["--bottleneck_tensor=features:0", "--bottleneck_dir=%s"]),
    "npy": ("bottlenecks", "b",
            ["--bottleneck_tensor=features:0", "--bottleneck_dir=%s", "--cache_format=npy"]),
    "npz": ("fetch_tensors", "f.npz", ["--tensors=features:0", "--output=%s"]),
    ".npy": ("fetch_tensors", "f.npy", ["--tensors=features:0", "--output=%s"]),
}  # fmt: skip


def lacking(done, place):
    """The bytes that an error line says are lacking at a place."""
    said = re.fullmatch(
        rf"error: No space left on device: {re.escape(str(place))} \(needs about ([\d.]+) (\w+) "
        r"more\)\. Make room, or choose another place; what is done is kept, and the same command "
        r"goes on\.",
        done.err.splitlines()[-1],
    )
    assert said, done.err
    return float(said[1]) * _UNITS[said[2]]


@pytest.mark.parametrize("way", WAYS)
def test_with_as_much_more_as_is_said_to_be_lacking_the_job_ends(run_script, job, small_disk, way):
    script, name, given = WAYS[way]
    size = 300_000
    place = small_disk(size // 1024) / name

    def run():
        more = [one.replace("%s", str(place)) for one in given]
        scaling = ("--input_mean=0", "--input_std=1")
        module = f"retrain_tools.{script}"
        return run_script(
            module, "--graph=graph.pb", "--image_dir=photos", *scaling, *more, cwd=job
        )

    done = run()
    assert done.status == 2
    needed = lacking(done, place)
    small_disk(int(size + needed / 2) // 1024)
    done = run()
    assert done.status == 2
    assert lacking(done, place) == pytest.approx(needed / 2, rel=0.25)
    small_disk(int(size + needed * 1.1) // 1024)
    done = run()
    assert done.status == 0, done.err


def test_a_list_and_a_graph_that_do_not_fit(run_script, job, small_disk):
    folder = small_disk(8)
    done = run_script("retrain_tools.freeze_graph", "--graph=graph.pb", "--input_mean=0",
        "--input_std=1", f"--output={folder}/new.pb", cwd=job)  # fmt: skip
    size = (job / "graph.pb").stat().st_size
    assert lacking(done, folder / "new.pb") == pytest.approx(size - 8192, rel=0.2)
    assert list(folder.iterdir()) == []
    done = run_script("retrain_tools.label_image", "--graph=graph.pb", "--input_mean=0",
        "--input_std=1", "--output_layer=features", "--image_dir=photos", "--top_k=100",
        f"--output={folder}/labels.csv", cwd=job)  # fmt: skip
    assert lacking(done, folder / "labels.csv") > 60 * 100 * 15
    assert list(folder.iterdir()) == []


def test_results_of_a_training_that_do_not_fit(run_script, job, small_disk):
    folder = small_disk(40)
    flags = [
        *("--graph=graph.pb", "--image_dir=photos", "--input_mean=0", "--input_std=1"),
        *("--bottleneck_tensor=features:0", "--how_many_training_steps=2"),
        *("--bottleneck_dir=bottlenecks", "--summaries_dir=logs", f"--output_dir={folder}/out"),
    ]
    done = run_script("retrain_tools.retrain", *flags, cwd=job)
    assert done.status == 2
    graph = (job / "graph.pb").stat().st_size + 2 * DEPTH * 4
    assert lacking(done, folder / "out" / "output_graph.pb") == pytest.approx(
        2 * graph - 40_960, rel=0.1
    )
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    done = run_script("retrain_tools.retrain", *flags, f"--summaries_dir={folder}/logs",
        "--how_many_training_steps=500", "--eval_step_interval=1", cwd=job)  # fmt: skip
    assert done.status == 2
    assert re.search(rf"error: No space left on device: {folder}/(logs|out)/", done.err)
