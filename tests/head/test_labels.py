"""Label files, old and new."""

from __future__ import annotations

import dataclasses
import re

import pytest

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef.note import write_labels
from retrain_tools.head.labels import labels_of, read_labels

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
        ("daisy\rrose bush\r", ["daisy", "rose bush"]),
        ("daisy\nrose bush\n \n\t\n", ["daisy", "rose bush"]),
        ("daisy\nrose\x85bush\x0c\n", ["daisy", "rose\x85bush\x0c"]),  # what else ends no line
        ("crane\ncrane\n", ["crane", "crane"]),  # ImageNet's bird and machine
        ("daisy\r\nLöwenzahn\r\n".encode("utf-16"), ["daisy", "Löwenzahn"]),  # PowerShell's >
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


def test_empty_lines_at_the_end_are_never_labels(tmp_path):
    path = write(tmp_path / "labels.txt", "a\n\n\n")
    with pytest.raises(InputError, match="has 1 labels, but the graph gives 2 scores"):
        read_labels(path, 2)


def test_a_thousand_labels_are_not_shifted_over_1001_scores(tmp_path):
    path = write(tmp_path / "labels.txt", "a\n" * 1000)
    with pytest.raises(InputError) as error:
        read_labels(path, 1001)
    assert str(error.value) == (
        f"{path} has 1000 labels (a line for slim's class 0, the background, is missing), but the "
        "graph gives 1001 scores; name the right file with labels."
    )


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
    return dataclasses.replace(frozen, path=tmp_path / "my.graph.pb", spec=spec)


def noted(frozen, labels):
    graph_def = type(frozen.graph_def).FromString(frozen.graph_def.SerializeToString())
    write_labels(graph_def, "probabilities:0", labels)
    return dataclasses.replace(frozen, graph_def=graph_def)


IN_ORDER = [
    "my.graph_labels.txt", "my.graph.txt", "output_labels.txt", "retrained_labels.txt", "labels.txt"
]  # fmt: skip


@pytest.mark.parametrize("first", range(5))
def test_the_first_file_beside_a_graph_that_has_as_many_labels_as_scores(
    old, tmp_path, first, caplog
):
    for number, name in enumerate(IN_ORDER):
        write(tmp_path / name, "a\nb\n" if number >= first else "a\n")
    assert labels_of(beside(old, tmp_path), 2) == ["a", "b"]
    assert caplog.messages == []


def test_of_two_files_that_differ_the_first_is_taken_and_named(old, tmp_path, caplog):
    first = write(tmp_path / "output_labels.txt", "a\nb\n")
    second = write(tmp_path / "labels.txt", "b\na\n")
    assert labels_of(beside(old, tmp_path), 2) == ["a", "b"]
    assert caplog.messages == [
        f"The labels are those of {first}. {second} has as many, and others: if those are right, "
        f"say labels={second}"
    ]


@pytest.mark.parametrize(
    ("graph", "name"),
    [("g.pb.gz", "g_labels.txt"), ("g.tar.gz", "g.txt"), ("g.tgz/in/it.pb", "it_labels.txt"),
     ("g.keras", "g.txt"), ("model.ckpt-100", "model.ckpt-100.txt"), ("saved", "saved_labels.txt"),
     ("saved", "saved/labels.txt")],
)  # fmt: skip
def test_labels_are_named_after_a_graph_of_any_kind(old, tmp_path, graph, name):
    (tmp_path / "saved").mkdir()
    write(tmp_path / name, "a\nb\n")
    assert labels_of(dataclasses.replace(old, path=tmp_path / graph), 2) == ["a", "b"]


def test_the_current_folder_may_be_the_graph(old, tmp_path, monkeypatch):
    (tmp_path / "saved").mkdir()
    write(tmp_path / "saved_labels.txt", "a\nb\n")
    monkeypatch.chdir(tmp_path / "saved")
    assert labels_of(dataclasses.replace(old, path=type(old.path)(".")), 2) == ["a", "b"]


def test_without_labels_classes_have_numbers_and_one_line_says_why(old, tmp_path, caplog):
    frozen = beside(old, tmp_path)
    write(tmp_path / "output_labels.txt", "a\nb\n")
    write(tmp_path / "labels.txt", "a\n" * 1000)
    write(tmp_path / "my.graph.txt", graph_2015().SerializeToString())
    assert labels_of(frozen, 1001) == [str(number) for number in range(1001)]
    assert caplog.messages == [
        f"No labels are known for the 1001 scores of {frozen.path} (my.graph.txt cannot be used; "
        "output_labels.txt has 2 labels; labels.txt has 1000 labels (a line for slim's class 0, "
        "the background, is missing)), so classes are shown by their numbers, from 0; name a file "
        "with labels=FILE, or say labels=imagenet if they are its classes."
    ]


def test_labels_in_the_note_come_before_files(old, tmp_path):
    write(tmp_path / "my.graph_labels.txt", "a\nb\n")
    frozen = beside(noted(old, ["ä", "b c"]), tmp_path)
    assert labels_of(frozen, 2) == ["ä", "b c"]
    write(tmp_path / "my.graph_labels.txt", "a\nb\nc\n")
    assert labels_of(frozen, 3) == ["a", "b", "c"]  # another tensor's


def test_labels_may_be_given_again_as_they_are_in_the_note(old, tmp_path):
    frozen = noted(old, ["a", "b"])
    path = write(tmp_path / "l.txt", "\ufeffa\r\nb\r\n\r\n")
    assert labels_of(frozen, 2, path) == labels_of(frozen, 2, ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "difference"),
    [
        ("a\nd\nc\n", "line 2 of {} is 'd', but {} has labels of its own, with 'b' there"),
        ("a\nB\nc\n", "line 2 of {} is 'B', but {} has labels of its own, with 'b' there"),
        ("b\nc\n", "line 1 of {} is 'b', but {} has labels of its own, with 'a' there"),
        ("a\nb\n", "line 3 of {} is missing, but {} has labels of its own, with 'c' there"),
        ("a\nb\nc\nd\n", "line 4 of {} is 'd', but {} has labels of its own, with only 3 labels"),
    ],
)
def test_labels_that_are_not_those_of_the_note_are_refused(old, tmp_path, content, difference):
    frozen = noted(old, ["a", "b", "c"])
    path = write(tmp_path / "l.txt", content)
    with pytest.raises(InputError) as error:
        labels_of(frozen, 3, path)
    said = difference.format(path, frozen.path)
    assert str(error.value) == f"{said}; leave out labels to use them."


def test_a_list_that_is_not_that_of_the_note_is_refused(old):
    frozen = noted(old, ["a", "b", "c"])
    with pytest.raises(InputError) as error:
        labels_of(frozen, 3, ["a", "c", "b"])
    assert str(error.value) == (
        f"labels[1] is 'c', but {frozen.path} has labels of its own, with 'b' there; leave out "
        "labels to use them."
    )


def test_a_2015_map_is_compared_by_class(old, label_map):
    frozen = noted(old, ["giant panda", "", "fox", ""])
    with pytest.raises(InputError) as error:
        labels_of(frozen, 4, label_map)
    assert str(error.value).startswith(f"class 2 of {label_map} is 'kit fox, Vulpes macrotis', but")


@pytest.mark.parametrize("final", ["final_result:0", "my_own_name:0"])
def test_a_retrained_network_of_the_catalogue_has_not_the_catalogues_labels(
    old, tmp_path, label_map, final, caplog
):
    known = dataclasses.replace(old, entry=catalog.find_entry("inception_v3"))
    assert labels_of(beside(known, tmp_path, final=final), 5) == list("01234")
    write(tmp_path / "output_labels.txt", "a\nb\nc\nd\ne\n")
    assert labels_of(beside(known, tmp_path, final=final), 5) == list("abcde")


def test_a_network_of_the_catalogue_has_the_label_maps_beside_it(old, tmp_path, label_map, caplog):
    known = dataclasses.replace(old, entry=catalog.find_entry("inception_v3"))
    frozen = beside(known, tmp_path, final="softmax:0")
    write(tmp_path / "output_labels.txt", "a\nb\n")
    expected = ["giant panda", "", "kit fox, Vulpes macrotis", "", ""]
    assert labels_of(frozen, 5) == expected
    (tmp_path / NAMES).unlink()
    assert labels_of(frozen, 5) == list("01234")
    assert f"{MAP} cannot be used" in caplog.messages[0]
