"""What label_image finds beside a graph, writes, and evaluates: the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from head.graphs import drawn_image, graph_2015, jpeg, read_graph, run

from retrain_tools.graphdef.note import write_labels

SCRIPT = "retrain_tools.label_image"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LABELS = ["daisy", "rose bush", "tulip", "l wenzahn", "sunflower"]
GRAPH = ["--graph=noted.pb"]
ALL = [*GRAPH, "--image_dir=photos", "--evaluate"]
WRONG = {
    "other labels": (
        [*GRAPH, "--labels=wrong.txt", "photos/Daisy/0.jpg"],
        "line 2 of wrong.txt is 'rose', but noted.pb has labels of its own, with 'rose bush' "
        "there; leave out --labels to use them.",
    ),
    "output": (
        [*GRAPH, "--output=l.txt", "photos"],
        "--output=l.txt must end in .csv or .json.",
    ),
    "output and format": (
        [*GRAPH, "--output=l.csv", "--format=json", "photos"],
        "--output=l.csv says the form; leave out --format.",
    ),
    "output in a file": (
        [*GRAPH, "--output=noted.pb/l.csv", "photos"],
        "noted.pb is a file; results cannot be written to noted.pb.",
    ),
    "metrics in a file": (
        [*ALL, "--metrics=noted.pb/m.json"],
        "noted.pb is a file; results cannot be written to noted.pb.",
    ),
    "metrics": (
        [*GRAPH, "--metrics=m.json", "photos"],
        "--metrics is for the figures of --evaluate.",
    ),
    "evaluated words": (
        [*ALL, "photos"],
        "--evaluate takes its images from --image_dir alone: one folder for each label.",
    ),
    "evaluated nothing": (
        [*GRAPH, "--evaluate"],
        "--evaluate takes its images from --image_dir alone: one folder for each label.",
    ),
    "evaluated csv": (
        [*ALL, "--format=csv"],
        "--evaluate prints text or JSON; --output=FILE.csv takes the labels.",
    ),
    "evaluated class": (
        [*GRAPH, "--image_dir=photos/Daisy", "--evaluate"],
        "--evaluate takes one folder of images for each label, below --image_dir; there is none. "
        "If these are the images of one label, name the folder above it.",
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("label_image_files")
    graph_def = graph_2015()
    (root / "plain.pb").write_bytes(graph_def.SerializeToString())
    write_labels(graph_def, "probabilities:0", LABELS)
    (root / "noted.pb").write_bytes(graph_def.SerializeToString())
    (root / "wrong.txt").write_text("daisy\nrose\ntulip\nl wenzahn\nsunflower\n")
    (root / "plain_labels.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\nc\r\nd\r\ne\r\n\r\n")
    for number in range(12):
        folder = root / "photos" / ("Daisy", "Rose_Bush", "Tulip")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(jpeg(drawn_image(number)))
    (root / "photos" / "Tulip" / "broken.jpg").write_bytes(b"<html>404</html>")
    return root


def files_in(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_labels_of_the_note_win_over_files_and_files_need_no_flag(run_commands, root):
    photo = "photos/Daisy/0.jpg"
    noted, plain = run_commands(
        SCRIPT, [[*GRAPH, "--top_k=5", photo], ["--graph=plain.pb", photo]], cwd=root
    )
    assert (noted.status, noted.err, plain.status, plain.err) == (0, "", 0, "")
    data = (root / photo).read_bytes()
    scores = run(read_graph(root / "plain.pb"), "probabilities:0", {"DecodeJpeg/contents:0": data})
    order = np.argsort(-scores[0], kind="stable")
    for result, labels in ((noted, LABELS), (plain, "abcde")):
        found = [line.rpartition(" ")[0] for line in result.out.splitlines()]
        assert found == [labels[i] for i in order]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_an_output_file_has_what_is_printed_without_it(run_commands, root, tmp_path, ending):
    output = tmp_path / "new" / f"labels.{ending}"
    before = files_in(root)
    written, printed = run_commands(
        SCRIPT,
        [[*GRAPH, f"--output={output}", "photos"], [*GRAPH, f"--format={ending}", "photos"]],
        cwd=root,
    )
    assert (written.status, printed.status) == (1, 1)
    assert output.read_text() == printed.out
    assert written.out == f"12 labelled, 1 failed: {output}\n"
    reason = "is not a JPEG, PNG, GIF, BMP or WebP image"
    assert written.err == printed.err == f"warning: photos/Tulip/broken.jpg {reason}\n"
    assert files_in(root) == before
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    if ending == "csv":
        rows = list(csv.DictReader(output.open()))
        assert len(rows) == 12 * 5 + 1
        assert [row["image"] for row in rows if row["error"] == reason] == [
            "photos/Tulip/broken.jpg"
        ]


def test_an_output_file_stays_as_it_was_where_the_job_ends_early(run_script, root, tmp_path):
    output = tmp_path / "labels.csv"
    output.write_text("earlier")
    result = run_script(SCRIPT, *GRAPH, f"--output={output}", "--on_error=fail", "photos", cwd=root)
    assert result.status == 2
    assert result.err.endswith("broken.jpg is not a JPEG, PNG, GIF, BMP or WebP image.\n")
    assert output.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [output]


def test_folders_of_classes_give_the_figures_of_the_graph(run_commands, root, tmp_path):
    before = files_in(root)
    metrics, output = tmp_path / "metrics.json", tmp_path / "rows.csv"
    text, as_json = run_commands(
        SCRIPT,
        [
            [*ALL, f"--metrics={metrics}", f"--output={output}"],
            [*ALL, "--format=json", "--metrics="],
        ],
        cwd=root,
    )  # fmt: skip
    assert (text.status, as_json.status) == (1, 1)
    assert files_in(root) == before
    assert metrics.read_text() == as_json.out
    figures = json.loads(as_json.out)
    graph = read_graph(root / "plain.pb")
    confusion = np.zeros((5, 5), int)
    for true, folder in enumerate(("Daisy", "Rose_Bush", "Tulip")):
        for path in (root / "photos" / folder).glob("[0-9]*.jpg"):
            feeds = {"DecodeJpeg/contents:0": path.read_bytes()}
            confusion[true, run(graph, "probabilities:0", feeds).argmax()] += 1
    assert figures["test"]["confusion_matrix"] == confusion.tolist()
    share = np.trace(confusion) / 12
    assert text.out.splitlines()[0] == f"Accuracy = {share:.1%} (N=12)"
    assert "true label \\ given" in text.out
    assert text.out.endswith(f"12 labelled, 1 failed: {output}\n")
    assert text.err.splitlines() == [
        "warning: 2 of the graph's 5 labels without a folder of images: 'l wenzahn', 'sunflower'",
        f"Figures: {metrics}",
        "warning: photos/Tulip/broken.jpg is not a JPEG, PNG, GIF, BMP or WebP image",
    ]
    assert len(list(csv.DictReader(output.open()))) == 12 * 5 + 1


def test_figures_go_into_metrics_json_unless_another_file_or_none_is_named(
    run_commands, root, tmp_path
):
    graph, photos = root / "noted.pb", root / "photos"
    command = [f"--graph={graph}", f"--image_dir={photos}", "--evaluate", "--format=json"]
    before = files_in(root)
    nothing, default = run_commands(SCRIPT, [[*command, "--metrics="], command], cwd=tmp_path)
    assert (nothing.status, default.status) == (1, 1)
    assert "Figures: metrics.json\n" in default.err
    assert "Figures" not in nothing.err
    assert list(tmp_path.iterdir()) == [tmp_path / "metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == default.out == nothing.out
    assert files_in(root) == before


@pytest.fixture(scope="module")
def wrong(run_commands, root):
    commands = [command for command, _ in WRONG.values()]
    return dict(zip(WRONG, run_commands(SCRIPT, commands, cwd=root), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_says_what_is_wrong(wrong, name):
    result = wrong[name]
    assert (result.status, result.out) == (2, "")
    assert result.err == f"error: {WRONG[name][1]}\n"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")
def test_the_published_mobilenet_finds_the_label_file_of_its_1001_classes(run_commands):
    folder = DATA / "mobilenet_v1_0.25_128"  # with retrained_labels.txt, of six classes
    photo = next((DATA / "orchids" / "images").glob("*/*.jpg"))
    graph = f"--graph={folder / 'frozen_graph.pb'}"
    found, named = run_commands(
        SCRIPT, [[graph, photo], [graph, f"--labels={folder / 'labels.txt'}", photo]], cwd=folder
    )
    assert (found.status, found.err) == (0, "")
    assert found.out == named.out
