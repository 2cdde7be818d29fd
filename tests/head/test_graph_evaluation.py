"""An existing graph's figures on folders of images: those of the untouched graph, and retrain's."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions
from retrain_tools.graphdef.note import read_labels
from retrain_tools.head.graph_evaluation import check_class_folders, evaluate_graph
from retrain_tools.head.labels import labels_of
from retrain_tools.head.retraining import retrain_on
from retrain_tools.head.settings import find_classes, settings_in
from retrain_tools.head.training import TrainingSettings
from retrain_tools.images.folders import find_images, label_of
from tests.opening import load_graph

from .graphs import drawn_image, graph_2015, jpeg, read_graph, run

LABELS = ["a", "b c", "d", "e", "f"]
FOLDERS = ("A", "B_C", "d")


@pytest.fixture(scope="module")
def classifier(save):
    return save(graph_2015(), output_layer="probabilities")


def draw(folder: Path, names, per_class=8) -> Path:
    for number in range(per_class * len(names)):
        path = folder / names[number % len(names)] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(drawn_image(number)))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("evaluated"), FOLDERS)


def evaluated(frozen, photos, labels=LABELS, **options):
    return evaluate_graph(frozen, lambda _: labels, find_images(str(photos)), **options)


@pytest.fixture(scope="module")
def result(classifier, photos):
    return evaluated(classifier, photos, top_k=2)


def by_the_untouched_graph(frozen, photos, tensor="probabilities:0"):
    images = find_images(str(photos))
    feeds = [{"DecodeJpeg/contents:0": Path(image.path).read_bytes()} for image in images]
    scores = np.concatenate([run(frozen.graph_def, tensor, feed) for feed in feeds])
    true = np.array([LABELS.index(label_of(image.folder)) for image in images])
    return [image.path for image in images], scores, true


def test_figures_are_scikit_learns_of_the_untouched_graphs_scores(classifier, photos, result):
    paths, scores, true = by_the_untouched_graph(classifier, photos)
    given, classes = scores.argmax(axis=1), list(range(5))
    figures = json.loads(json.dumps(result.as_dict()))
    assert figures["labels"] == LABELS
    test = figures["test"]
    assert test["images"] == 24
    assert test["accuracy"] == pytest.approx(metrics.accuracy_score(true, given))
    assert test["cross_entropy"] == pytest.approx(metrics.log_loss(true, scores, labels=classes))
    matrix = metrics.confusion_matrix(true, given, labels=classes)
    assert test["confusion_matrix"] == matrix.tolist()
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        true, given, labels=classes, zero_division=np.nan
    )
    for number, label in enumerate(LABELS):
        for name, values in (("precision", precision), ("recall", recall)):
            found = test["per_class"][label][name]
            assert found == (None if np.isnan(values[number]) else pytest.approx(values[number]))
    wrong = [
        {"image": path, "given": LABELS[g]}
        for path, g, t in zip(paths, given, true, strict=True)
        if g != t
    ]
    assert wrong
    assert figures["misclassified"] == wrong
    assert [one.image for one in result.labelled] == paths
    assert [one.best[0][0] for one in result.labelled] == [LABELS[g] for g in given]
    assert {len(one.best) for one in result.labelled} == {2}


def test_labels_without_a_folder_are_named(classifier, photos, caplog):
    result = evaluated(classifier, photos)
    assert result.without_folder == ["e", "f"]
    assert caplog.messages == ["2 of the graph's 5 labels without a folder of images: 'e', 'f'"]


def test_scores_that_are_no_probabilities_have_no_cross_entropy(classifier, photos):
    spec = dataclasses.replace(classifier.spec, final="logits/MatMul:0")
    result = evaluated(dataclasses.replace(classifier, spec=spec), photos)
    assert result.test.cross_entropy is None
    _, scores, true = by_the_untouched_graph(classifier, photos, "logits/MatMul:0")
    assert result.test.accuracy == pytest.approx((scores.argmax(axis=1) == true).mean())


def test_what_is_no_label_lies_outside_or_is_broken_is_left_out(classifier, tmp_path, caplog):
    photos = draw(tmp_path / "p", ["a", "b c", "d", "eee", "other"], per_class=2)
    (photos / "loose.jpg").write_bytes(jpeg(drawn_image(0)))
    (photos / "a" / "broken.jpg").write_bytes(b"<html>404</html>")
    result = evaluated(classifier, photos)
    figures = result.as_dict()
    assert figures["test"]["images"] == 6
    assert figures["folders_left_out"] == {"eee": 2, "other": 2}
    reason = "is not a JPEG, PNG, GIF, BMP or WebP image"
    assert figures["failed"] == [(str(photos / "a" / "broken.jpg"), reason)]
    assert len(result.labelled) == 7
    assert caplog.messages == [
        "1 image outside of the class folders, left out",
        "2 images in 'eee', left out: the graph has no such label.",
        "2 images in 'other', left out: the graph has no such label.",
        "2 of the graph's 5 labels without a folder of images: 'e', 'f'",
    ]
    with pytest.raises(InputError, match=re.escape(f"broken.jpg {reason}.")):
        evaluated(classifier, photos, on_error="fail")


def test_a_misspelt_folder_is_told_the_nearest_label(classifier, tmp_path, caplog):
    photos = draw(tmp_path, ["roses", "Tulip"], per_class=1)
    evaluated(classifier, photos, ["roses", "tulips", "c", "d", "e"])
    assert caplog.messages[0] == (
        "1 image in 'Tulip', left out: the graph has no such label. Did you mean 'tulips'?"
    )


@pytest.mark.parametrize(
    ("folder", "labels", "number"),
    [
        ("Rnst.Bangkok Beauty", ["x", "rnst bangkok beauty"], 1),  # retrain.py's label
        ("rnst_bangkok-beauty", ["x", "Rnst.Bangkok Beauty"], 1),  # another tool's
        ("a-b", ["a b", "a-b"], 1),  # kept folder names: the name itself counts
        ("薔薇", ["菊", "薔薇"], 1),
        ("薔薇", ["x", " "], 1),  # retrain.py's label
        ("3", ["0", "1", "2", "3"], 3),  # a graph without labels
        ("Löwenzahn", ["l wenzahn", "x"], 0),
    ],
)
def test_a_folder_stands_for_the_label_of_its_name_or_retrain_pys(
    classifier, tmp_path, folder, labels, number
):
    labels = labels + [f"other {n}" for n in range(5 - len(labels))]
    result = evaluated(classifier, draw(tmp_path, [folder], per_class=2), labels)
    assert result.test.confusion[number].sum() == 2


def test_letters_that_retrain_py_leaves_out_are_no_reason_to_match(classifier, tmp_path, caplog):
    photos = draw(tmp_path, ["薔薇", "x"], per_class=1)
    result = evaluated(classifier, photos, ["菊", "x", "c", "d", "e"])
    assert result.left_out == {"薔薇": 1}


def test_folders_of_one_label_count_together(classifier, tmp_path):
    result = evaluated(classifier, draw(tmp_path, ["a", "A", "b-c"], per_class=2))
    assert result.test.confusion.sum(axis=1).tolist() == [4, 2, 0, 0, 0]


def test_a_folder_that_may_be_two_labels_is_an_error(classifier, tmp_path):
    photos = draw(tmp_path, ["crane"], per_class=1)
    with pytest.raises(InputError) as error:
        evaluated(classifier, photos, ["crane", "b", "Crane ", "crane", "e"])
    assert str(error.value) == (
        "The folder 'crane' may be any of the graph's labels 'crane' (class 0), 'crane' (class 3); "
        "give these labels of their own with labels, or leave the folder out."
    )


def test_figures_of_labels_that_are_the_same_are_kept_apart(classifier, tmp_path):
    photos = draw(tmp_path, ["b"], per_class=3)
    figures = evaluated(classifier, photos, ["crane", "b", "", "crane", ""]).as_dict()
    names = ["crane (class 0)", "b", "(class 2)", "crane (class 3)", "(class 4)"]
    assert figures["labels"] == names
    assert list(figures["test"]["per_class"]) == names
    assert {entry["given"] for entry in figures["misclassified"]} <= set(names)


def test_folders_of_which_none_is_a_label_are_an_error(classifier, tmp_path):
    photos = draw(tmp_path, [f"x{number:02}" for number in range(12)], per_class=1)
    with pytest.raises(InputError) as error:
        evaluated(classifier, photos)
    folders = ", ".join(f"'x{number:02}'" for number in range(10))
    assert str(error.value) == (
        f"No folder is named after a label of the graph. Folders: {folders} and 2 more. Labels: "
        "'a', 'b c', 'd', 'e', 'f'."
    )


def test_a_folder_of_one_class_is_an_error(photos):
    with pytest.raises(InputError) as error:
        check_class_folders(find_images(str(photos / "A")))
    assert str(error.value) == (
        "evaluate takes one folder of images for each label, below image_dir; there is none. If "
        "these are the images of one label, name the folder above it."
    )


def test_a_retrained_graph_holds_its_labels_and_gets_the_figures_of_its_test(old, tmp_path):
    draw(tmp_path / "photos", ["Daisy", "R_o.se", "Tulip"], per_class=12)
    settings = settings_in(
        str(tmp_path / "out"),
        image_dir=str(tmp_path / "photos"),
        cache=CacheOptions(str(tmp_path / "bottlenecks")),
        training=TrainingSettings(how_many_training_steps=30),
        testing_percentage=40,
        validation_percentage=0,
        split_key="basename",
        intermediate_store_frequency=10,
    )
    splits = find_classes(settings)
    trained = retrain_on(old, settings, splits)
    labels = ["daisy", "r o se", "tulip"]
    step = tmp_path / "out" / "intermediate" / "intermediate_20.pb"
    assert read_labels(read_graph(step)) == read_labels(read_graph(settings.output_graph)) == labels
    assert Path(settings.output_labels).read_text().splitlines() == labels
    for parts in splits.values():
        for image in parts["testing"]:
            target = tmp_path / "tested" / image.relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image.path, target)
    graph = shutil.move(settings.output_graph, tmp_path / "elsewhere.pb")
    frozen = load_graph(graph)
    images = find_images(str(tmp_path / "tested"))
    found = evaluate_graph(frozen, lambda count: labels_of(frozen, count), images).as_dict()
    expected = trained.figures["test"]
    assert found["labels"] == trained.figures["labels"]
    assert found["test"].keys() == expected.keys()
    assert found["test"]["cross_entropy"] == pytest.approx(expected["cross_entropy"], abs=1e-4)
    for name in ("images", "accuracy", "per_class", "confusion_matrix"):
        assert found["test"][name] == expected[name]
    assert found["misclassified"][0].keys() == trained.figures["misclassified"][0].keys()
