"""The export_graph command line: what it prints, its exit status, and mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.toys import network
from tests.features import tiny
from tests.graphdef.tiny_graphs import inception_like, write
from tests.script_process import RunScript

SCRIPT = "retrain_tools.export_graph"
TO_KERAS = ("--graph=g.pb", "--to=keras", "--output=out/g.keras")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(inception_like(), tmp_path / "g.pb")
    (tmp_path / "photos").mkdir()
    for number in range(10):
        path = tmp_path / "photos" / f"{number}.png"
        tiny.photo(30 + number, 20, seed=number).save(path)
    return tmp_path


def test_a_keras_model_in_a_fresh_process(folder: Path) -> None:
    command = [sys.executable, "-m", SCRIPT, *TO_KERAS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert re.fullmatch(
        r"File        out/g.keras\n"
        r"Size        [\d,]+ bytes\n"
        r"Keras       3\.\S+\n"
        r"Layers      2 Conv2D, .*1 Dense.*\n"
        r"Parameters  \d+\n"
        r"Input       float32 \[N, 8, 8, 3\], \(pixels - 128\) / 128\n"
        r"Bottleneck  the layer pool_3__reshape makes pool_3/_reshape:0\n"
        r"Result      the layer softmax makes softmax:0\n"
        r"Compared    softmax:0: differs by \S+ at most \(values to 0\.\d+\), on 3 drawn photos\n",
        done.stdout,
    )
    assert [path.name for path in (folder / "out").iterdir()] == ["g.keras"]


def test_images_to_compare_on_are_named_and_the_first_eight_are_taken(
    run_script: RunScript, folder: Path
) -> None:
    (folder / "photos" / "0.png").write_bytes(b"no image")
    names = "--outputs=pool_3/_reshape:0,mixed/conv"
    done = run_script(SCRIPT, *TO_KERAS, names, "--image_dir=photos", cwd=folder)
    assert done.status == 0
    assert len(re.findall(r"^Compared  .*, on 8 images$", done.out, re.MULTILINE)) == 2
    assert "warning: photos/0.png " in done.err
    done = run_script(SCRIPT, *TO_KERAS, "--on_error=fail", "photos/0.png", cwd=folder)
    assert done.status == 2
    assert done.err.startswith("error: photos/0.png ")
    done = run_script(SCRIPT, *TO_KERAS, "photos/0.png", cwd=folder)
    assert done.status == 2
    assert done.err.endswith("error: Of 1 image none can be used.\n")


def test_a_difference_above_the_tolerance_is_the_exit_status(
    run_script: RunScript, folder: Path
) -> None:
    done = run_script(SCRIPT, *TO_KERAS, "--tolerance=0", "--outputs=softmax/logits", cwd=folder)
    assert done.status == 1
    assert "softmax/logits:0: differs by" in done.out


def test_mistakes(run_script: RunScript, folder: Path) -> None:
    from retrain_tools.quiet_tensorflow import tf

    def err(*arguments: str) -> str:
        done = run_script(SCRIPT, *arguments, cwd=folder)
        assert (done.status, done.out) == (2, "")
        return done.err

    assert err(*TO_KERAS[:2]) == "error: --output must be given; see --help.\n"
    assert "No tensor 'softmx:0' in g.pb (" in err(*TO_KERAS, "--outputs=softmx")
    network(folder, lambda x: tf.raw_ops.LRN(input=x, name="norm"))
    told = err("--graph=toy.pb", *TO_KERAS[1:])
    assert told.endswith(
        "error: toy.pb cannot become a Keras model, which has no layer for LRN (norm). Take a "
        "tensor before them with --outputs, or another form: saved_model.\n"
    )


def test_a_saved_model_takes_the_labels_beside_the_graph(
    run_script: RunScript, folder: Path
) -> None:
    (folder / "g_labels.txt").write_text("a\nb\nc\nd\ne\n")
    to_saved_model = ("--graph=g.pb", "--to=saved_model", "--output=serving/1")
    done = run_script(SCRIPT, *to_saved_model, cwd=folder)
    assert done.status == 0
    assert "\nLabels           5, also in assets/labels.txt\n" in done.out
    done = run_script(SCRIPT, *to_saved_model, cwd=folder)
    assert done.err == "error: --output=serving/1 exists and is not an empty folder.\n"
    (folder / "others.txt").write_text("a\nb\n")
    to_other = (*to_saved_model[:2], "--output=serving/2", "--labels=others.txt")
    done = run_script(SCRIPT, *to_other, cwd=folder)
    assert done.status == 2
    assert "others.txt has 2 labels, but the graph gives 5 scores" in done.err
    done = run_script(SCRIPT, *to_other, "--outputs=mixed/conv", cwd=folder)
    told = "error: --labels are for a SavedModel whose first output is of classes.\n"
    assert done.err.endswith(told)
    done = run_script("retrain_tools.label_image", "--graph=serving/1", "photos/1.png", cwd=folder)
    assert (done.status, done.err) == (0, "")


# In a process of its own: without packages, as on a machine where they were never installed.
WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
import importlib
importlib.import_module("retrain_tools.export_graph").script()
"""


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_told_before_a_graph_is_opened(package: str, tmp_path: Path) -> None:
    if package == "onnxruntime":
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, "--graph=no.pb", "--to=onnx", "--output=g.onnx"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = f"error: An export to ONNX needs {package}: pip install {package}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_a_graph_that_fails_on_images_is_told(run_script: RunScript, folder: Path) -> None:
    from retrain_tools.quiet_tensorflow import tf

    network(
        folder, lambda x: tf.debugging.check_numerics(tf.math.log(x * 0.0) * 0.0, "is no number")
    )
    done = run_script(SCRIPT, "--graph=toy.pb", "--to=graphdef", "--output=o.pb", cwd=folder)
    assert done.status == 2
    assert re.search(r"error: toy\.pb cannot be run: is no number : Tensor had NaN", done.err)
