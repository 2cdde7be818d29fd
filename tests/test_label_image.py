"""The label_image command line: scores of the untouched graph, old flags, and errors that help."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from head.graphs import (
    SIZE,
    drawn_image,
    encoded,
    graph_2015,
    jpeg,
    node,
    pixel_graph,
    prepared,
    read_graph,
    run,
)
from head.scripts import run_commands, run_script

SCRIPT = "retrain_tools.label_image"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LABELS = ["daisy", "rose bush", "tulip, red", "löwenzahn", "sunflower"]

PIXELS = ["--graph=pixels/graph.pb"]
PIXEL_FLAGS = [*PIXELS, "--output_layer=probabilities"]
SIZED = [f"--input_height={SIZE}", f"--input_width={SIZE}"]
SHAPELESS = ["--graph=shapeless/graph.pb", "--output_layer=probabilities:0"]

COMMANDS = {
    "text": ["--graph=graph.pb", "photos/0.jpg"],
    "text of many": ["--graph=graph.pb", "photos/0.jpg", "photos/2.png", "--top_k=2"],
    "json": ["--graph=graph.pb", "--format=json", "--top_k=5", "photos"],
    "csv": ["--graph=graph.pb", "--format=csv", "--top_k=3", "photos"],
    "text with a broken one": ["--graph=graph.pb", "photos/0.jpg", "broken.jpg", "no.jpg"],
    "json with a broken one": ["--graph=graph.pb", "--format=json", "broken.jpg", "photos/0.jpg"],
    "csv with a broken one": ["--graph=graph.pb", "--format=csv", "broken.jpg", "photos/0.jpg"],
    "only broken ones": ["--graph=graph.pb", "broken.jpg", "no.jpg"],
    "--image": ["--graph=graph.pb", "--image", "photos/0.jpg", "--labels", "output_labels.txt"],
    "--image and more": ["--graph=graph.pb", "--image=photos/0.jpg", "photos/1.jpg"],
    "--input_layer=input": [*PIXEL_FLAGS, "--input_layer=input", "photos/1.jpg"],
    "--input_layer=import/input": [*PIXEL_FLAGS, "--input_layer=import/input", "photos/1.jpg"],
    "--input_layer=input:0": [*PIXEL_FLAGS, "--input_layer", "input:0", "photos/1.jpg"],
    "--output_layer=import/x:0": [*PIXELS, "--output_layer=import/probabilities:0", "photos/1.jpg"],
    "mean 0": [*PIXEL_FLAGS, "--input_mean=0", "--input_std=255", "photos/1.jpg"],
    "mean 128": [*PIXEL_FLAGS, "--input_mean=128", "--input_std", "128", "photos/1.jpg"],
    "size": [*SHAPELESS, *SIZED, "photos/1.jpg"],
    "label map": ["--graph=graph.pb", "--labels=maps/map.pbtxt", "photos/0.jpg", "--top_k=5"],
    "no graph": ["photos/0.jpg"],
    "no image": ["--graph=graph.pb"],
    "empty folder": ["--graph=graph.pb", "maps"],
    "no labels": [*PIXEL_FLAGS[:1], "--output_layer=probabilities", "photos/0.jpg", "--labels="],
    "missing labels": ["--graph=graph.pb", "--labels=no.txt", "photos/0.jpg"],
    "too few labels": ["--graph=graph.pb", "--labels=few.txt", "photos/0.jpg"],
    "no final": ["--graph=two/graph.pb", "photos/0.jpg"],
    "the only output": [*PIXELS, "photos/1.jpg"],
    "wrong output": ["--graph=graph.pb", "--output_layer=final_resul", "photos/0.jpg"],
    "zero std": [*PIXEL_FLAGS, "--input_std=0", "photos/0.jpg"],
    "no size": [*SHAPELESS, "photos/0.jpg"],
    "top 0": ["--graph=graph.pb", "--top_k=0", "photos/0.jpg"],
    "wrong format": ["--graph=graph.pb", "--format=xml", "photos/0.jpg"],
}


def with_two_outputs():
    graph_def = pixel_graph([1, SIZE, SIZE, 3])
    graph_def.node.append(node("other", "Tanh", "logits/MatMul", T=tf.float32))
    return graph_def


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("label_image")
    for name, graph_def in {
        ".": with_final_result(graph_2015()),
        "pixels": pixel_graph([1, SIZE, SIZE, 3]),
        "two": with_two_outputs(),
        "shapeless": pixel_graph(None),
    }.items():
        (root / name).mkdir(exist_ok=True)
        (root / name / "graph.pb").write_bytes(graph_def.SerializeToString())
    for name in ("output_labels.txt", "shapeless/retrained_labels.txt"):
        (root / name).write_text("".join(f"{label}\n" for label in LABELS))
    (root / "few.txt").write_text("a\nb\n")
    (root / "photos").mkdir()
    for number in range(2):
        (root / "photos" / f"{number}.jpg").write_bytes(jpeg(drawn_image(number, 40, 22)))
    (root / "photos" / "2.png").write_bytes(encoded(drawn_image(2), "PNG"))
    (root / "broken.jpg").write_bytes(b"<html>404</html>")
    (root / "maps").mkdir()
    (root / "maps" / "map.pbtxt").write_text(
        "".join(
            f'entry {{\n  target_class: {i}\n  target_class_string: "n{i}"\n}}\n' for i in (1, 3)
        )
    )
    (root / "maps" / "imagenet_synset_to_human_label_map.txt").write_text("n1\tcat\nn3\tdog\n")
    return root


def with_final_result(graph_def):
    graph_def.node.append(node("final_result", "Softmax", "logits/MatMul", T=tf.float32))
    return graph_def


@pytest.fixture(scope="module")
def done(root):
    # Graphs without labels beside them are given some, unless a command says otherwise.
    commands = [
        [*c, "--labels=output_labels.txt"] if "pixels/graph.pb" in c[0] and "--labels=" not in c
        else c
        for c in COMMANDS.values()
    ]  # fmt: skip
    return dict(zip(COMMANDS, run_commands(SCRIPT, commands, cwd=root), strict=True))


def scores(root, name):
    """By the untouched graph."""
    data = (root / "photos" / name).read_bytes()
    return run(read_graph(root / "graph.pb"), "final_result:0", {"DecodeJpeg/contents:0": data})[0]


def pixel_scores(root, name, mean=127.5, std=127.5):
    pixels = prepared((root / "photos" / name).read_bytes(), mean=mean, std=std)
    return run(read_graph(root / "pixels" / "graph.pb"), "probabilities:0", {"input:0": pixels})[0]


def best(values, count=5, labels=LABELS):
    order = np.argsort(-values, kind="stable")[:count]
    return [(labels[i], values[i]) for i in order]


def agree(found, expected, tolerance=1e-4):
    assert [label for label, _ in found] == [label for label, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=tolerance)


def from_text(lines):
    return [(label, float(score)) for label, _, score in (line.rpartition(" ") for line in lines)]


def test_text_is_a_label_and_a_score_a_line_best_first(done, root):
    result = done["text"]
    assert (result.status, result.err) == (0, "")
    agree(from_text(result.out.splitlines()), best(scores(root, "0.jpg")))


def test_text_of_several_images_has_each_ones_path_above_its_labels(done, root):
    lines = done["text of many"].out.splitlines()
    assert (lines[0], lines[3], len(lines)) == ("photos/0.jpg", "photos/2.png", 6)
    agree(from_text(lines[1:3]), best(scores(root, "0.jpg"), 2))
    agree(from_text(lines[4:]), best(scores(root, "2.png"), 2))


def test_json_has_every_image_of_a_folder_in_order(done, root):
    given = json.loads(done["json"].out)
    assert [Path(entry["image"]).name for entry in given] == ["0.jpg", "1.jpg", "2.png"]
    for entry in given:
        assert entry["error"] is None
        found = [(label["label"], label["score"]) for label in entry["labels"]]
        agree(found, best(scores(root, Path(entry["image"]).name)))


def test_csv_has_a_row_for_every_label_of_every_image(done, root):
    rows = list(csv.DictReader(io.StringIO(done["csv"].out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * 3
    for name, first in (("0.jpg", 0), ("1.jpg", 3), ("2.png", 6)):
        part = rows[first : first + 3]
        assert {row["image"] for row in part} == {f"photos/{name}"}
        found = [(row["label"], float(row["score"])) for row in part]
        agree(found, best(scores(root, name), 3))


def test_a_broken_image_is_named_on_stderr_and_the_others_are_labelled(done, root):
    result = done["text with a broken one"]
    assert result.status == 1
    assert result.err.splitlines() == [
        "warning: broken.jpg is not a JPEG, PNG, GIF, BMP or WebP image",
        "warning: no.jpg cannot be read: No such file or directory",
    ]
    lines = result.out.splitlines()
    assert lines[0] == "photos/0.jpg"
    agree(from_text(lines[1:]), best(scores(root, "0.jpg")))


def test_json_says_of_a_broken_image_why(done):
    broken, good = json.loads(done["json with a broken one"].out)
    assert broken == {
        "image": "broken.jpg",
        "labels": [],
        "error": "is not a JPEG, PNG, GIF, BMP or WebP image",
    }
    assert good["error"] is None
    assert len(good["labels"]) == 5


def test_csv_has_a_row_with_the_reason_for_a_broken_image(done):
    broken, *good = csv.DictReader(io.StringIO(done["csv with a broken one"].out))
    assert broken == {
        "image": "broken.jpg",
        "rank": "",
        "label": "",
        "score": "",
        "error": "is not a JPEG, PNG, GIF, BMP or WebP image",
        "synset": "",
    }
    good_ones = {(row["image"], row["error"], row["synset"]) for row in good}
    assert good_ones == {("photos/0.jpg", "", "")}
    assert len(good) == 5


def test_a_graph_without_labels_gives_the_numbers_of_its_classes(done, root):
    result = done["no labels"]
    assert result.status == 0
    numbers = [str(number) for number in range(5)]
    agree(from_text(result.out.splitlines()), best(pixel_scores(root, "0.jpg"), labels=numbers))
    assert result.err.splitlines()[-1] == (
        "warning: No labels are known for the 5 scores of pixels/graph.pb (looked for "
        "graph_labels.txt, graph.txt, output_labels.txt, retrained_labels.txt, labels.txt), so "
        "classes are shown by their numbers, from 0; name a file with labels=FILE."
    )


def test_only_broken_images_are_an_error(done):
    result = done["only broken ones"]
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1] == "error: No image could be labelled."
    assert len(result.err.splitlines()) == 3


def test_the_old_image_flag_takes_one_image_and_more_may_follow(done, root):
    assert done["--image"].out == done["text"].out
    lines = done["--image and more"].out.splitlines()
    assert (lines[0], lines[6]) == ("photos/0.jpg", "photos/1.jpg")


@pytest.mark.parametrize(
    "command",
    ["--input_layer=input", "--input_layer=import/input", "--input_layer=input:0",
     "--output_layer=import/x:0"],
)  # fmt: skip
def test_layers_are_named_as_in_old_commands(done, root, command):
    assert done[command].status == 0, done[command].err
    agree(from_text(done[command].out.splitlines()), best(pixel_scores(root, "1.jpg")))


def test_the_only_output_of_a_graph_gives_the_scores(done, root):
    agree(from_text(done["the only output"].out.splitlines()), best(pixel_scores(root, "1.jpg")))


@pytest.mark.parametrize(("command", "mean", "std"), [("mean 0", 0, 255), ("mean 128", 128, 128)])
def test_mean_and_std_are_used_and_an_explicit_zero_counts(done, root, command, mean, std):
    expected = pixel_scores(root, "1.jpg", mean, std)
    assert np.abs(expected - pixel_scores(root, "1.jpg")).max() > 1e-3
    agree(from_text(done[command].out.splitlines()), best(expected))


def test_a_graph_without_a_size_takes_that_of_the_flags(done, root):
    # It is the same network as the graph that has a shape.
    agree(from_text(done["size"].out.splitlines()), best(pixel_scores(root, "1.jpg")))


def test_the_2015_label_maps_can_be_given_as_labels(done, root):
    labels = ["", "cat", "", "dog", ""]
    found = from_text(done["label map"].out.splitlines())
    agree(found, best(scores(root, "0.jpg"), labels=labels))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no graph", "--graph must be given; see --help."),
        ("no image", "Name images with --image_dir, with --image_list, or after the flags."),
        (
            "empty folder",
            "No images in maps: no file ends in .jpg, .jpeg, .png, .gif, .bmp, .webp; there are "
            "files of other kinds: .pbtxt 1, .txt 1.",
        ),
        ("missing labels", "No such label file: no.txt"),
        (
            "too few labels",
            "few.txt has 2 labels, but the graph gives 5 scores; name the right file with "
            "--labels.",
        ),
        (
            "no final",
            "Which tensor of two/graph.pb gives the scores? Name it with --output_layer. List "
            "them: list_tensors --graph=two/graph.pb --outputs",
        ),
        (
            "wrong output",
            "No tensor 'final_resul:0' in graph.pb (27 nodes). Did you mean 'final_result:0'? "
            "List them: list_tensors --graph=graph.pb",
        ),
        ("zero std", "--input_std=0 would divide by zero; known values: 127.5, 128, 255."),
        (
            "no size",
            "shapeless/graph.pb does not say how large its images are ('input:0' has no fixed "
            "size); give --input_height and --input_width (above 0).",
        ),
        ("top 0", "flag --top_k=0: 0 is not a positive integer"),
        ("wrong format", "flag --format=xml: value should be one of <text|json|csv>"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_exits_with_2(done, command, message):
    result = done[command]
    lines = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
    assert lines == [f"error: {message}"]
    assert (result.status, result.out) == (2, "")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")
def test_a_published_retrained_mobilenet_gets_the_scores_of_running_it_directly():
    folder = DATA / "mobilenet_v1_0.25_128"
    photos = sorted((DATA / "orchids" / "images").glob("*/*.jpg"))[::90]
    done = run_script(
        SCRIPT, "--format=json", "--top_k=6", f"--graph={folder / 'retrained_graph.pb'}", *photos,
        cwd=folder,
    )  # fmt: skip
    assert (done.status, done.err) == (0, "")
    labels = (folder / "retrained_labels.txt").read_text().splitlines()
    graph_def = read_graph(folder / "retrained_graph.pb")
    for path, entry in zip(photos, json.loads(done.out), strict=True):
        decoded = tf.io.decode_jpeg(path.read_bytes(), channels=3)
        batch = tf.cast(decoded, tf.float32)[tf.newaxis]
        resized = tf.raw_ops.ResizeBilinear(images=batch, size=[128, 128])
        pixels = (resized.numpy() - 127.5) * (1 / 127.5)
        expected = run(graph_def, "final_result:0", {"input:0": pixels})[0]
        found = [(label["label"], label["score"]) for label in entry["labels"]]
        agree(found, best(expected, 6, labels))
