"""The classify_image command line: the original's flags and lines, on a small graph of its form."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from head.graphs import drawn_image, jpeg, read_graph, run
from head.scripts import run_commands

from retrain_tools.standin.inception_2015 import make_reference_graph

SCRIPT = "retrain_tools.classify_image"
NAMES = {169: ("n02510455", "giant panda, panda"), 7: ("n01514668", "cock")}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """What the original left in --model_dir, with a network of the same nodes."""
    folder = tmp_path_factory.mktemp("imagenet")
    graph_def = make_reference_graph(0.1, 0)
    (folder / "classify_image_graph_def.pb").write_bytes(graph_def.SerializeToString())
    (folder / "imagenet_2012_challenge_label_map_proto.pbtxt").write_text(
        "".join(
            f'entry {{\n  target_class: {number}\n  target_class_string: "{synset}"\n}}\n'
            for number, (synset, _) in NAMES.items()
        )
    )
    (folder / "imagenet_synset_to_human_label_map.txt").write_text(
        "".join(f"{synset}\t{name}\n" for synset, name in NAMES.values())
    )
    (folder / "cropped_panda.jpg").write_bytes(jpeg(drawn_image(5)))
    (folder / "other.jpg").write_bytes(jpeg(drawn_image(6)))
    return folder


@pytest.fixture(scope="module")
def done(model_dir, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "graph.pb").write_bytes((model_dir / "classify_image_graph_def.pb").read_bytes())
    (elsewhere / "broken.jpg").write_bytes(b"<html>404</html>")
    there = f"--model_dir={model_dir}"
    commands = {
        "panda": [there, "--num_top_predictions=1008"],
        "five": [there],
        "other": [there, f"--image_file={model_dir / 'other.jpg'}", "--num_top_predictions=2"],
        "graph": [there, "--graph=graph.pb", "--num_top_predictions=1008"],
        "no panda": ["--model_dir=nowhere"],
        "no image": [there, "--image_file=no.jpg"],
        "broken": [there, "--image_file=broken.jpg"],
        "none": [there, "--num_top_predictions=0"],
    }
    results = run_commands(SCRIPT, list(commands.values()), cwd=elsewhere)
    return dict(zip(commands, results, strict=True))


def scores(model_dir, name):
    graph_def = read_graph(model_dir / "classify_image_graph_def.pb")
    feeds = {"DecodeJpeg/contents:0": (model_dir / name).read_bytes()}
    return run(graph_def, "softmax:0", feeds)[0]


def test_lines_are_those_of_the_original(done, model_dir):
    expected = scores(model_dir, "cropped_panda.jpg")
    assert (done["panda"].status, done["panda"].err) == (0, "")
    lines = done["panda"].out.splitlines()
    assert len(lines) == 1008
    found = [re.fullmatch(r"(.*) \(score = (\d\.\d{5})\)", line) for line in lines]
    np.testing.assert_allclose([float(m[2]) for m in found], np.sort(expected)[::-1], atol=2e-5)
    names = [m[1] for m in found]
    for number, (_, name) in NAMES.items():
        assert float(found[names.index(name)][2]) == pytest.approx(expected[number], abs=2e-5)
    assert names.count("") == 1006  # classes that the map does not know, as the original had them


def test_five_labels_are_shown_without_a_flag(done):
    assert done["five"].out.splitlines() == done["panda"].out.splitlines()[:5]


def test_an_image_may_be_named(done, model_dir):
    found = [float(line[-8:-1]) for line in done["other"].out.splitlines()]
    expected = np.sort(scores(model_dir, "other.jpg"))[::-1][:2]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_graph_without_maps_beside_it_has_the_names_of_the_shipped_table(done, model_dir):
    assert done["graph"].status == 0
    assert done["graph"].err == (
        "labels: those of ImageNet's 1000 classes, because graph.pb is a network as "
        "inception-2015-12-05, with 1008 scores. If it was trained on other classes, name them "
        "with labels=FILE.\n"
    )
    found = done["graph"].out.splitlines()
    [panda] = [line for line in found if line.startswith("giant panda, panda, panda bear")]
    expected = scores(model_dir, "cropped_panda.jpg")
    assert float(panda[-8:-1]) == pytest.approx(expected[169], abs=2e-5)
    assert sum(line.startswith(" (score") for line in found) == 8  # of no class


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no panda", f"Name the image with --image_file; there is no {Path('nowhere')}/"
                     "cropped_panda.jpg."),
        ("no image", "No such image: no.jpg (--image_file)"),
        ("broken", "broken.jpg is not a JPEG, PNG, GIF, BMP or WebP image."),
        ("none", "flag --num_top_predictions=0: 0 is not a positive integer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(done, name, message):
    result = done[name]
    assert (result.status, result.out, result.err) == (2, "", f"error: {message}\n")


def test_the_folder_of_all_models_is_used_without_a_flag(model_dir, done, tmp_path):
    command = [sys.executable, "-m", SCRIPT]
    environment = os.environ | {"RETRAIN_TOOLS_HOME": str(model_dir)}
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, done["five"].out)
