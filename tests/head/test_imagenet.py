"""ImageNet's classes in the orders of networks, and which graphs are taken for such networks."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef.note import Note, write_labels, write_note
from retrain_tools.head.graph_evaluation import evaluate_graph
from retrain_tools.head.imagenet import (
    classes_by_score,
    imagenet_classes,
    imagenet_labels,
    known_labels,
    synsets_of,
)
from retrain_tools.head.labelling import label_images
from retrain_tools.head.labels import labels_of
from retrain_tools.images.folders import find_images

from .graphs import DEPTH, SIZE, constant, drawn_image, jpeg, pixel_graph, prepared, run
from .scripts import run_commands

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
MAPS = DATA / "imagenet"
MOBILENET = DATA / "mobilenet_v1_0.25_128"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")


# The table


def test_the_classes_are_sorted_by_wordnet_id_as_keras_and_slim_have_them():
    classes = imagenet_classes()
    assert len(classes) == len({one.synset for one in classes}) == 1000
    assert [one.synset for one in classes] == sorted(one.synset for one in classes)
    # Known from Keras's imagenet_class_index.json and from papers on the bird and the machine.
    known = {0: ("n01440764", "tench"), 1: ("n01443537", "goldfish"), 134: ("n02012849", "crane"),
             388: ("n02510455", "giant panda"), 517: ("n03126707", "crane"),
             999: ("n15075141", "toilet tissue")}  # fmt: skip
    for number, (synset, name) in known.items():
        assert classes[number].synset == synset
        assert classes[number].name.split(", ")[0] == name


def test_each_class_has_a_place_of_its_own_in_the_graph_of_2015():
    places = {one.position_2015: one.synset for one in imagenet_classes()}
    assert sorted(places) == list(range(1, 1001))
    assert places[169] == "n02510455"  # the panda of classify_image.py's tutorial


@needs_data
def test_the_generator_writes_the_table_that_is_shipped(tmp_path):
    made = tmp_path / "table.tsv"
    command = [sys.executable, "tools/make_imagenet_classes.py", f"--label_maps={MAPS}"]
    subprocess.run([*command, f"--output={made}"], cwd=ROOT, check=True, capture_output=True)
    shipped = ROOT / "retrain_tools/head/data/imagenet_2012.tsv"
    assert made.read_bytes() == shipped.read_bytes()
    assert "Apache License 2.0" in shipped.read_text()


@needs_data
def test_all_1001_names_are_in_the_order_of_the_published_mobilenets_own():
    published = (MOBILENET / "labels.txt").read_text().splitlines()
    assert [f"{i}:{name}" for i, name in enumerate(imagenet_labels(1001))] == published


@needs_data
def test_the_1008_names_are_those_that_the_label_maps_give(old):
    label_map = MAPS / "imagenet_2012_challenge_label_map_proto.pbtxt"
    labels = labels_of(old, 1008, label_map)
    assert labels == imagenet_labels(1008)
    assert [i for i, label in enumerate(labels) if not label] == [0, *range(1001, 1008)]


def test_the_same_class_has_the_same_synset_in_every_order():
    for count, number in ((1000, 388), (1001, 389), (1008, 169)):
        assert classes_by_score(count)[number].synset == "n02510455"
        assert synsets_of(imagenet_labels(count))[number] == "n02510455"
    assert classes_by_score(1001)[0].synset == classes_by_score(1008)[1007].synset == ""


def test_labels_have_synsets_only_if_all_are_imagenets():
    labels = imagenet_labels(1000)
    assert synsets_of([f"{i}:{label}" for i, label in enumerate(labels)])[0] == "n01440764"
    assert synsets_of([*labels[:999], "bath tissue"]) is None
    assert synsets_of(labels[1:] + labels[:1]) is None
    assert synsets_of(labels[:999]) is None


# Which graphs


def noted(frozen, source, count, final="probabilities:0", path="photos.pb"):
    graph_def = type(frozen.graph_def).FromString(frozen.graph_def.SerializeToString())
    write_note(graph_def, "Mul:0", Note(source, "resize", 0.0, 1.0, None, "probabilities:0", {}))
    spec = dataclasses.replace(frozen.spec, final=final)
    return dataclasses.replace(frozen, graph_def=graph_def, path=Path(path), spec=spec), count


@pytest.mark.parametrize(
    ("source", "count", "said"),
    [
        ("inception_v3", 1001, "slim's inception_v3"),
        ("resnet_v2_50", 1001, "slim's resnet_v2_50"),
        ("mobilenet_v2", 1001, "slim's mobilenet_v2"),
        ("vgg_16", 1000, "slim's vgg_16"),
        ("resnet_v1_50", 1000, "slim's resnet_v1_50"),
        (
            *("keras:VGG16 weights=none", 1000),
            "VGG16 of Keras Applications with random weights, which know no class",
        ),
        ("keras:VGG16 weights=mine weights=.h5", 1000, "VGG16 of Keras Applications"),
        ("keras:VGG16", 1000, "VGG16 of Keras Applications"),
    ],
)
def test_a_known_network_with_its_own_scores_has_the_names_and_a_line_says_so(
    old, caplog, source, count, said
):
    caplog.set_level("INFO", "retrain_tools")
    assert known_labels(*noted(old, source, count)) == imagenet_labels(count)
    assert caplog.messages == [
        f"labels: those of ImageNet's 1000 classes, because photos.pb is {said}, with {count} "
        "scores. If it was trained on other classes, name them with labels=FILE."
    ]


@pytest.mark.parametrize(
    ("source", "path", "count"),
    [
        ("vgg_16", "vgg_16_2016_08_28.tar.gz", 1000),
        ("mobilenet_v1", "mobilenet_v1_0.25_128.tgz", 1001),
        ("keras:MobileNetV2 weights=imagenet", "keras:MobileNetV2", 1000),
    ],
)
def test_a_published_network_has_them_without_a_word(old, caplog, source, path, count):
    caplog.set_level("INFO", "retrain_tools")
    assert known_labels(*noted(old, source, count, path=path)) == imagenet_labels(count)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("source", "count", "final"),
    [
        ("vgg_16", 1001, "probabilities:0"),  # its own are 1000
        ("inception_v3", 1000, "probabilities:0"),  # and its own 1001
        ("inception_v3", 1008, "probabilities:0"),
        ("inception_v3", 5, "probabilities:0"),
        ("inception_v3", 1001, "final_result:0"),  # retrained
        ("keras:VGG16 weights=imagenet", 1001, "probabilities:0"),
        ("keras:VGG16 weights=imagenet", 1000, "final_result:0"),
        ("Keras model vgg16 of vgg16.h5", 1000, "probabilities:0"),
        ("somebody's", 1001, "probabilities:0"),
    ],
)
def test_others_with_as_many_scores_are_not_taken_for_it(old, caplog, source, count, final):
    caplog.set_level("INFO", "retrain_tools")
    frozen, _ = noted(old, source, count, final)
    assert known_labels(frozen, count) is None
    assert labels_of(frozen, count) == [str(number) for number in range(count)]
    hint = ", or say labels=imagenet if they are its classes." if count > 5 else "labels=FILE."
    assert caplog.messages[-1].endswith(hint)


def test_a_graph_of_the_catalogues_structure_has_them_only_with_its_own_last_layer(old, caplog):
    caplog.set_level("INFO", "retrain_tools")
    entry = catalog.find_entry("inception-2015-12-05")
    own = dataclasses.replace(old.spec, final="softmax:0")
    known = dataclasses.replace(old, entry=entry, spec=own, path=Path("my.pb"))
    assert known_labels(known, 1008) == imagenet_labels(1008)
    assert caplog.messages == [
        "labels: those of ImageNet's 1000 classes, because my.pb is a network as "
        "inception-2015-12-05, with 1008 scores. If it was trained on other classes, name them "
        "with labels=FILE."
    ]
    assert known_labels(known, 1001) is None
    retrained = dataclasses.replace(own, final="final_result:0")
    assert known_labels(dataclasses.replace(known, spec=retrained), 1008) is None
    toy = dataclasses.replace(entry, imagenet_scores=None)
    assert known_labels(dataclasses.replace(known, entry=toy), 1008) is None


@pytest.mark.parametrize("count", [1000, 1001, 1008])
def test_a_retrained_graph_of_as_many_classes_keeps_its_own(old, count):
    frozen, _ = noted(old, "vgg_16", count)
    write_labels(frozen.graph_def, "probabilities:0", [f"mine {i}" for i in range(count)])
    assert labels_of(frozen, count) == [f"mine {i}" for i in range(count)]


@needs_data
def test_the_published_file_has_them_without_a_word(old, caplog):
    caplog.set_level("INFO", "retrain_tools")
    entry = catalog.find_entry("mobilenet_v1_0.25_128")
    spec = dataclasses.replace(old.spec, final=entry.final)
    known = dataclasses.replace(old, entry=entry, spec=spec, path=MOBILENET / "frozen_graph.pb")
    assert known_labels(known, 1001) == imagenet_labels(1001)
    assert caplog.messages == []


# What the user says


def test_imagenet_may_be_asked_for(old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert labels_of(old, 1000, "imagenet") == imagenet_labels(1000)
    with pytest.raises(InputError) as error:
        labels_of(old, 5, "imagenet")
    assert str(error.value) == (
        "labels=imagenet names 1000 scores, 1001 (the first is the background) or 1008 (those of "
        "the graph of 2015), but the graph gives 5 scores; name a file with labels."
    )
    Path("imagenet").write_text("a\nb\nc\nd\ne\n")  # what exists comes first, as for graphs
    assert labels_of(old, 5, "imagenet") == ["a", "b", "c", "d", "e"]


def test_imagenet_is_compared_with_labels_in_the_note(old):
    frozen, _ = noted(old, "vgg_16", 1000)
    labels = imagenet_labels(1000)
    write_labels(frozen.graph_def, "probabilities:0", labels)
    assert labels_of(frozen, 1000, "imagenet") == labels
    write_labels(frozen.graph_def, "probabilities:0", [*labels[:999], "paper"])
    message = "class 999 of ImageNet is 'toilet tissue, toilet paper, bathroom tissue', but"
    with pytest.raises(InputError, match=re.escape(message)):
        labels_of(frozen, 1000, "imagenet")


# Networks that run


@pytest.fixture(scope="module")
def tiny_application(save):
    """A graph of 1000 scores whose note says that it is one of Keras Applications."""
    graph_def = pixel_graph([1, SIZE, SIZE, 3])
    [weights] = [node for node in graph_def.node if node.name == "logits/weights"]
    drawn = np.random.default_rng(2).normal(0, 0.5, (DEPTH, 1000)).astype(np.float32)
    weights.CopyFrom(constant("logits/weights", drawn))
    source, final = "keras:MobileNetV2 weights=imagenet", "probabilities:0"
    write_note(graph_def, "input:0", Note(source, "resize", 127.5, 127.5, None, final, {}))
    return save(graph_def)


def test_a_keras_application_is_labelled_with_names_and_synsets(tiny_application, tmp_path):
    photo = tmp_path / "0.jpg"
    photo.write_bytes(jpeg(drawn_image(0)))
    [found] = label_images(
        tiny_application, lambda n: labels_of(tiny_application, n), [str(photo)], 3
    )
    feeds = {"input:0": prepared(photo.read_bytes())}
    scores = run(tiny_application.graph_def, "probabilities:0", feeds)[0]
    best = [imagenet_classes()[i] for i in np.argsort(-scores)[:3]]
    assert [label for label, _ in found.best] == [one.name for one in best]
    assert found.synsets == [one.synset for one in best]


def test_folders_of_wordnet_ids_evaluate_a_network_of_imagenet(tiny_application, tmp_path):
    for number, folder in enumerate(("n02510455", "n01440764", "goldfish, Carassius auratus")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.jpg").write_bytes(jpeg(drawn_image(number)))
    images = find_images(str(tmp_path))
    found = evaluate_graph(tiny_application, lambda n: labels_of(tiny_application, n), images)
    assert found.left_out == {}
    assert len(found.without_folder) == 997
    labels = imagenet_labels(1000)
    assert not {labels[388], labels[0], labels[1]} & set(found.without_folder)
    assert all(len(one.synsets) == 5 for one in found.labelled)


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory):
    """One photo through the published MobileNet and the near-real graph of 2015, as users do it."""
    folder = tmp_path_factory.mktemp("two")
    photo = sorted((DATA / "orchids/images").glob("*/*.jpg"))[0]
    graphs = {"mobilenet": MOBILENET / "frozen_graph.pb",
              "2015": DATA / "inception-2015-12-05/near_real_graph_def.pb"}  # fmt: skip
    commands = [
        [f"--graph={graph}", f"--output={name}.csv", "--top_k=1008", photo]
        for name, graph in graphs.items()
    ]
    commands.append([f"--graph={graphs['mobilenet']}", "--format=json", "--top_k=1001", photo])
    results = run_commands("retrain_tools.label_image", commands, cwd=folder)
    assert [result.status for result in results] == [0, 0, 0]
    tables = {name: list(csv.DictReader((folder / f"{name}.csv").open())) for name in graphs}
    return tables, results, graphs["2015"]


@needs_data
def test_a_photos_scores_in_two_networks_are_joined_by_synset(two_networks):
    tables, (mobilenet, inception, _), graph = two_networks
    assert mobilenet.err == ""  # its own labels.txt lies beside it
    assert inception.err == (
        f"labels: those of ImageNet's 1000 classes, because {graph} is a network as "
        "inception-2015-12-05, with 1008 scores. If it was trained on other classes, name them "
        "with labels=FILE.\n"
    )
    of = {name: {row["synset"]: row for row in rows} for name, rows in tables.items()}
    assert of["mobilenet"].keys() == of["2015"].keys()
    assert len(of["2015"]) == 1001  # with the empty one, which is of no class
    for synset, row in of["2015"].items():
        if synset:
            assert of["mobilenet"][synset]["label"].partition(":")[2] == row["label"]
    assert of["2015"]["n02510455"]["label"].startswith("giant panda, panda")


@needs_data
def test_json_has_the_synset_of_each_label(two_networks):
    tables, (*_, printed), _ = two_networks
    [image] = json.loads(printed.out)
    assert [(one["label"], one["synset"]) for one in image["labels"]] == [
        (row["label"], row["synset"]) for row in tables["mobilenet"]
    ]
