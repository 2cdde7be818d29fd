"""The command line of `compare_features`, in processes of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np

from tests.head.scripts import run_script

MODULE = "retrain_tools.compare_features"
PHOTOS = "--image_dir=photos"


def test_what_agrees_what_differs_and_what_is_wrong(run_commands, here) -> None:
    """Exit status 0, 1 and 2; the result on stdout, and errors in one line on stderr."""
    pooled = ["--tensor_a=conv_1/relu", "graph.pb", "bottlenecks", PHOTOS]
    (here / "list.txt").write_text("photos/a/0.jpg\nphotos/b/1.jpg\n")
    agree, wide, narrow, differ, lists, told, html = run_commands(
        MODULE,
        [
            ["graph.pb", "bare.npy", PHOTOS],
            ["both.npz", "graph.pb", PHOTOS, "--tensors=conv/relu,pool/_reshape"],
            ["pool.npz", "bottlenecks", "--tolerance=0"],
            pooled,
            ["graph.pb", "bottlenecks", "--image_list=list.txt"],
            [*pooled, "--format=json", "--max_images=5"],
            [*pooled, "--pooling=avg", "--html=pages/why.html"],
        ],
        here,
    )
    assert (agree.status, agree.err) == (0, "")
    assert agree.out.startswith("A and B agree: mean error ")
    assert "12 images compared; matched: 12 by sorted listing\n" in agree.out
    assert wide.status == 0, wide.err
    assert re.search(r"^conv/relu:0 .* agrees$", wide.out, re.MULTILINE)
    assert narrow.status == 0, narrow.err  # they are the same to the last bit
    assert (differ.status, differ.err) == (1, "")
    assert differ.out.startswith("B is A with average pooling")
    assert "[4, 4, 256]" in differ.out
    assert "A averaged over its 4×4 places" in differ.out
    assert lists.status == 0, lists.err
    assert "only in A" not in lists.out
    assert "only in B: 10 (" in lists.out
    assert (told.status, told.err) == (1, "")
    result = json.loads(told.out)
    assert result["explanation"]["verdict"] == "explained"
    assert [cause["slot"] for cause in result["explanation"]["causes"]] == ["pooling"]
    assert result["matching"]["images"] == 5
    assert html.status == 0, html.err
    assert html.out.startswith("A and B agree")
    assert (here / "pages/why.html").read_text().startswith("<!DOCTYPE html>")


def test_a_network_of_keras_beside_a_graph(run_script, here) -> None:
    """Its flags are for the side that it is; the depths differ, so values are not compared."""
    done = run_script(
        MODULE, "keras:MobileNetV2", "graph.pb", "--weights=none", PHOTOS, "--max_images=4",
        "--model_dir=models", "--format=json", cwd=here,
    )  # fmt: skip
    assert done.status == 1, done.err
    told = json.loads(done.out)
    [tensor] = told["tensors"]
    assert (tensor["shape_a"], tensor["shape_b"]) == ([7, 7, 1280], [256])
    assert tensor["compared"] == "values cannot be compared: the depths differ"
    assert tensor["mean"] is None
    assert isinstance(tensor["cka"], float)
    assert told["explanation"]["causes"] == []


def test_errors(run_commands, here) -> None:
    np.savez("strange.npz", pool=np.zeros((2, 3)), images=["x.jpg", "y.jpg"])
    (here / "bad.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    (here / "cut.npy").write_bytes(b"\x93NUMPY")
    (here / "empty").mkdir(exist_ok=True)
    nothing = "Name two things to compare after the flags, bottlenecks, features or graphs; "
    wanted = {
        f"{nothing}none is named.": [],
        f"{nothing}1 are named: pool.npz.": ["pool.npz"],
        f"{nothing}3 are named: a, b, c.": ["a", "b", "c"],
        "No such file: gone.npz": ["gone.npz", "pool.npz"],
        "No such file: gone.pb": ["pool.npz", "gone.pb", PHOTOS],
        "graph.pb is a graph: name the images to run it on with --image_dir.": [
            "pool.npz", "graph.pb"],
        "No image is on both sides: pool.npz has photos/a/0.jpg and others, strange.npz has x.jpg. "
        "Where they are the same images under other names, both have to be on disk, below "
        "--image_dir or where they are named.": ["pool.npz", "strange.npz"],
        "No such folder: nowhere (--image_dir)": ["pool.npz", "graph.pb", "--image_dir=nowhere"],
        "bad.pkl is not read: it names 'os.system', which is no part of features. Of a pickle only "
        "dicts, lists, texts, numbers and NumPy arrays are taken, and nothing in it is run.": [
            "pool.npz", "bad.pkl"],
        "both.npz has several tensors, conv/relu:0, pool/_reshape:0: name one with --tensor_b.": [
            "pool.npz", "both.npz", "--tensor_a=pool/_reshape"],
        "--weights=none is for networks of Keras (keras:InceptionV3); graph.pb is a frozen "
        "GraphDef.": ["pool.npz", "graph.pb", PHOTOS, "--weights=none"],
        "--html takes the file to write, as --html=why.html.": ["a.npz", "b.npz", "--html="],
        "photos is a folder; it should be a file to write.": ["a.npz", "b.npz", "--html=photos"],
    }  # fmt: skip
    patterns = [
        (["cut.npy", "pool.npz"], r"cut\.npy cannot be read as features: .*\."),
        (["empty", "pool.npz"], r"No bottlenecks in empty: .*|.*empty.*"),
        (["a", "b", "--format=xml"], r".*--format=xml.*"),
        (["a", "b", "--tolerance=-1"], r".*--tolerance=-1.*"),
        (["graph.pb", "pool.npz", PHOTOS, "--tensor_a=sofmax"], r"No tensor 'sofmax:0' in .*"),
    ]
    commands = [*wanted.values(), *(command for command, _ in patterns)]
    found = run_commands(MODULE, commands, here)
    for done in found:
        assert (done.status, done.out) == (2, ""), done
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
    said = [done.err.removeprefix("error: ").rstrip("\n") for done in found]
    assert said[: len(wanted)] == list(wanted)
    for text, (_, pattern) in zip(said[len(wanted) :], patterns, strict=True):
        assert re.fullmatch(pattern, text), text
    assert not (here / "ran").exists()


def test_help_says_what_agreeing_means_and_stored_sides_need_no_tensorflow(here) -> None:
    done = run_script(MODULE, "--help", cwd=here)
    assert done.status == 0, done.err
    text = " ".join(done.out.split())
    assert "no value differs by more than this share of the standard deviation of A." in text
    assert "--tolerance (default: 0.0001)" in text
    watched = (
        "import sys\nfrom retrain_tools import compare_features\ntry:\n"
        "    compare_features.script()\nexcept SystemExit:\n"
        "    print('tensorflow.python.tf2' in sys.modules)"
    )
    command = [sys.executable, "-c", watched, "pool.npz", "bottlenecks"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n"), done.stdout


def test_without_matplotlib_there_is_one_line_before_any_work(here) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from retrain_tools import compare_features\ncompare_features.script()"
    )
    command = [sys.executable, "-c", code, "pool.npz", "bottlenecks", "--html=x.html"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --html=x.html needs matplotlib: pip install matplotlib\n"
    assert not (here / "x.html").exists()
