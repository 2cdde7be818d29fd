"""Label files, old and new."""

from __future__ import annotations

import dataclasses
import re

import pytest

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.head.labels import find_labels, read_labels

from .graphs import graph_2015

MAP = "imagenet_2012_challenge_label_map_proto.pbtxt"
NAMES = "imagenet_synset_to_human_label_map.txt"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def label_map(tmp_path):
    entries = [(2, "n01"), (0, "n03"), (3, "n99")]
    text = "# -*- protobuffer -*-\n" + "".join(
        f'entry {{\n  target_class: {number}\n  target_class_string: "{synset}"\n}}\n'
        for number, synset in entries
    )
    write(tmp_path / NAMES, "n01\tkit fox, Vulpes macrotis\nn02\tunused\nn03\tgiant panda\n")
    return write(tmp_path / MAP, text)


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("daisy\nrose bush\n", ["daisy", "rose bush"]),
        ("daisy\nrose bush", ["daisy", "rose bush"]),
        ("daisy\r\nrose bush\r\n", ["daisy", "rose bush"]),
        ("daisy\nrose bush\n\n\n", ["daisy", "rose bush"]),
        ("\ufeffdaisy\nrose bush\n", ["daisy", "rose bush"]),
        ("Löwenzahn\n薔薇\n", ["Löwenzahn", "薔薇"]),
        ("daisy\n \n", ["daisy", " "]),  # retrain.py's label for a folder without any of a-z, 0-9
    ],
)
def test_a_text_file_gives_one_label_a_line(tmp_path, content, labels):
    assert read_labels(write(tmp_path / "labels.txt", content), 2) == labels


def test_another_number_of_labels_is_refused(tmp_path):
    path = write(tmp_path / "labels.txt", "a\nb\nc\n")
    message = f"{path} has 3 labels, but the graph gives 2 scores; name the right file with"
    with pytest.raises(InputError, match=re.escape(message)):
        read_labels(path, 2)


def test_an_empty_file_has_no_labels(tmp_path):
    with pytest.raises(InputError, match="has 0 labels, but the graph gives 2 scores"):
        read_labels(write(tmp_path / "labels.txt", ""), 2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"No such label file: {tmp_path / 'no.txt'}")):
        read_labels(tmp_path / "no.txt", 2)


def test_a_binary_file_is_refused(tmp_path):
    path = write(tmp_path / "labels.txt", graph_2015().SerializeToString())
    with pytest.raises(InputError, match=re.escape(f"{path} is not a text file of labels.")):
        read_labels(path, 5)


def test_the_2015_maps_name_the_classes_and_leave_unknown_ones_empty(label_map):
    assert read_labels(label_map, 5) == ["giant panda", "", "kit fox, Vulpes macrotis", "", ""]


def test_a_2015_map_of_more_classes_than_scores_is_refused(label_map):
    message = f"{label_map} labels classes up to 3, but the graph gives 3 scores"
    with pytest.raises(InputError, match=re.escape(message)):
        read_labels(label_map, 3)


def test_a_2015_map_without_its_names_says_which_file_is_missing(label_map):
    (label_map.parent / NAMES).unlink()
    message = f"No such label file: {label_map.parent / NAMES}"
    with pytest.raises(InputError, match=re.escape(message)):
        read_labels(label_map, 4)


def beside(frozen, tmp_path, **spec):
    spec = dataclasses.replace(frozen.spec, **spec)
    return dataclasses.replace(frozen, path=tmp_path / "graph.pb", spec=spec)


@pytest.mark.parametrize("name", ["output_labels.txt", "retrained_labels.txt"])
def test_labels_beside_a_retrained_graph_are_found(old, tmp_path, name):
    path = write(tmp_path / name, "a\nb\n")
    assert find_labels(beside(old, tmp_path, final="final_result:0")) == path


def test_missing_labels_beside_a_graph_say_what_to_do(old, tmp_path):
    message = f"No label file lies beside {tmp_path / 'graph.pb'}; name it with labels."
    with pytest.raises(InputError, match=re.escape(message)):
        find_labels(beside(old, tmp_path))


@pytest.mark.parametrize(
    ("final", "name"), [("softmax:0", MAP), ("final_result:0", "output_labels.txt"),
                        ("my_own_name:0", "output_labels.txt")]
)  # fmt: skip
def test_a_catalogued_network_has_the_labels_of_what_it_ends_in(
    old, tmp_path, label_map, final, name
):
    write(tmp_path / "output_labels.txt", "a\nb\n")
    known = dataclasses.replace(old, entry=catalog.find_entry("inception_v3"))
    assert find_labels(beside(known, tmp_path, final=final)) == tmp_path / name
