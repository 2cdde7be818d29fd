"""Lists of images: folders, text files and Parquet files, and what is wrong with some."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.listing import count_aside, listed_images, shards_of


def images(**given):
    return list(listed_images(given.get("image_dir"), given.get("image_list")))


def refusal(**given) -> str:
    with pytest.raises(InputError) as error:
        images(**given)
    return str(error.value)


def counted(**given):
    tell = count_aside(given.get("image_dir"), given.get("image_list"))
    for _ in range(1000):
        if tell() is not None:
            break
        time.sleep(0.01)
    return tell()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_labels_sizes_and_versions(here, caplog):
    caplog.set_level("INFO")
    for name in ("b/2.jpg", "b/deep/3.PNG", "a/1.jpg", "0.jpg", ".hidden/4.jpg", "a/notes.txt"):
        path = here / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    found = images(image_dir="photos")
    assert [(entry.uri, entry.label, entry.size) for entry in found] == [
        ("photos/0.jpg", "", 5),
        ("photos/a/1.jpg", "a", 5),
        ("photos/b/2.jpg", "b", 5),
        ("photos/b/deep/3.PNG", "b", 5),
    ]
    assert found[0].version == str((here / "photos/0.jpg").stat().st_mtime_ns)
    assert caplog.messages == ["1 file of other kinds left out: .txt 1"]
    assert counted(image_dir="photos") == 4
    assert [entry.uri for entry in images(image_dir="photos/")] == [one.uri for one in found]


def test_a_text_file_has_a_path_a_line(here):
    (here / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\n  \ns3://b/c d.jpg\na.jpg\n\xff.jpg")
    names = ["a.jpg", "s3://b/c d.jpg", "a.jpg", "\udcff.jpg"]
    assert images(image_list="list.txt") == list(map(Entry, names))
    assert counted(image_list="list.txt") == 4


def test_a_parquet_file_may_have_labels(here):
    labels = pa.array(["cat", None]).dictionary_encode()
    pa.parquet.write_table(pa.table({"uri": ["1.jpg", "2.jpg"], "label": labels}), "list.parquet")
    assert images(image_list="list.parquet") == [Entry("1.jpg", "cat"), Entry("2.jpg")]
    assert counted(image_list="list.parquet") == 2
    pa.parquet.write_table(pa.table({"uri": ["1.jpg"], "label": [7]}), "list.parquet")
    assert images(image_list="list.parquet") == [Entry("1.jpg", "7")]


def test_images_are_put_into_shards():
    entries = list(map(Entry, "abcde"))
    found = list(shards_of(iter(entries), 2))
    assert found == [(0, entries[:2]), (1, entries[2:4]), (2, entries[4:])]


def test_a_list_is_read_no_further_than_it_is_asked_for(here):
    (here / "list.txt").write_bytes(b"a.jpg\n" * 10_000 + b"\0")
    found = listed_images(None, "list.txt")
    assert next(shards_of(found, 5_000))[0] == 0
    with pytest.raises(InputError, match="not a text file of paths"):
        list(found)


def test_what_is_wrong_is_named(here):
    (here / "file").write_text("")
    (here / "empty").mkdir()
    (here / "other").mkdir()
    (here / "other/a.tif").write_text("")
    (here / "binary").write_bytes(b"\1" * 100_000)
    (here / "bad.parquet").write_text("no parquet")
    pa.parquet.write_table(pa.table({"url": ["1.jpg"]}), "url.parquet")
    pa.parquet.write_table(pa.table({"uri": ["1.jpg", None]}), "null.parquet")
    pa.parquet.write_table(pa.table({"uri": pa.array([], pa.string())}), "none.parquet")
    both = "Name images with image_dir or image_list, with one of them."
    assert refusal() == both
    assert refusal(image_dir="a", image_list="b") == both
    assert refusal(image_dir="no") == "No such folder: no (image_dir)"
    assert refusal(image_dir="file") == "file is a file; image_dir takes a folder of images."
    ends = "no file ends in .jpg, .jpeg, .png, .gif, .bmp, .webp"
    assert refusal(image_dir="empty") == f"No images in empty: {ends}."
    assert refusal(image_dir="other") == (
        f"No images in other: {ends}; there are files of other kinds: .tif 1."
    )
    assert refusal(image_list="no.txt") == (
        "no.txt (image_list) cannot be read: No such file or directory"
    )
    assert refusal(image_list="empty") == "empty (image_list) cannot be read: Is a directory"
    assert refusal(image_list="file") == "file (image_list) names no images."
    assert refusal(image_list="none.parquet") == "none.parquet (image_list) names no images."
    assert refusal(image_list="binary") == "binary (image_list) is not a text file of paths."
    assert refusal(image_list="bad.parquet").startswith(
        "bad.parquet (image_list) is no Parquet file that can be read: "
    )
    assert refusal(image_list="url.parquet") == (
        "url.parquet (image_list) has no column 'uri', but url."
    )
    assert refusal(image_list="null.parquet") == (
        "null.parquet (image_list): row 1 has no text in its column 'uri'."
    )
