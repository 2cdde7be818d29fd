"""Folders of images: what is found, under which label, and what is said when nothing fits."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.images.folders import (
    ImageFile,
    find_images,
    image_files,
    images_by_label,
    label_of,
    read_image_list,
)


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(root)


def relatives(root):
    return [image.relative for image in find_images(str(root))]


def test_every_extension_in_any_capitalisation(tmp_path):
    names = ["a/1.jpg", "a/2.JPG", "a/3.Jpg", "a/4.jpeg", "a/5.JPEG", "a/6.PnG", "b/7.gif"]
    names += ["b/8.BMP", "b/9.WebP"]
    make(tmp_path, *names, "a/notes.txt", "a/jpg", "b/x.jpg.txt", "b/x.tiff")
    assert relatives(tmp_path) == sorted(names)


def test_files_of_other_kinds_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    make(tmp_path, *(f"a/{n}.tif" for n in range(5)), *(f"b/{n}.TIF" for n in range(3)))
    make(tmp_path, *(f"b/{n}.HEIC" for n in range(4)), "a/1.jpg")
    make(tmp_path, "a/.DS_Store", "a/._1.tif", ".git/x.tif")  # not meant to be seen
    assert relatives(tmp_path) == ["a/1.jpg"]
    assert caplog.messages == ["12 files of other kinds left out: .tif 8, .heic 4"]


def test_one_file_and_files_without_an_extension_and_many_kinds(tmp_path, caplog):
    caplog.set_level("INFO")
    make(tmp_path / "one", "1.jpg", "README")
    find_images(str(tmp_path / "one"))
    make(tmp_path / "many", "1.jpg", *(f"x.{end}" for end in "abcdefghijkl"), "b.l")
    find_images(str(tmp_path / "many"))
    assert caplog.messages == [
        "1 file of other kinds left out: no extension 1",
        "13 files of other kinds left out: .l 2, .a 1, .b 1, .c 1, .d 1, .e 1, .f 1, .g 1, "
        "and 4 more",
    ]


def test_where_there_are_only_images_nothing_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    make(tmp_path, "a/1.jpg", "a/.hidden")
    find_images(str(tmp_path))
    assert caplog.messages == []


def test_a_folder_of_other_kinds_alone_says_which(tmp_path):
    make(tmp_path, "a/1.tif", "a/2.tif", "3.heic")
    with pytest.raises(InputError) as error:
        find_images(str(tmp_path))
    assert str(error.value) == (
        f"No images in {tmp_path}: no file ends in .jpg, .jpeg, .png, .gif, .bmp, .webp; there are "
        "files of other kinds: .tif 2, .heic 1."
    )


def test_words_are_files_and_folders_with_labels(tmp_path):
    make(tmp_path, "photos/daisy/1.jpg", "photos/2.jpg")
    words = [str(tmp_path / "photos"), "x/y.jpg", str(tmp_path / "photos/daisy")]
    assert [(one.path.removeprefix(f"{tmp_path}/"), one.folder) for one in image_files(words)] == [
        ("photos/2.jpg", ""),
        ("photos/daisy/1.jpg", "daisy"),
        ("x/y.jpg", ""),
        ("photos/daisy/1.jpg", ""),
    ]


def test_nested_and_flat_images_with_their_folder(tmp_path):
    make(tmp_path, "top.jpg", "a/1.jpg", "a/deep/er/2.jpg")
    images = find_images(str(tmp_path))
    assert [(i.relative, i.folder) for i in images] == [
        ("a/1.jpg", "a"),
        ("a/deep/er/2.jpg", "a"),
        ("top.jpg", ""),
    ]


@pytest.mark.parametrize("typed", ["photos", "./photos", "photos/", "../here/photos"])
def test_the_path_is_the_folder_as_typed(tmp_path, monkeypatch, typed):
    """retrain.py hashes this string: any tidying would move images between the splits."""
    here = tmp_path / "here"
    make(here / "photos", "a/1.jpg")
    monkeypatch.chdir(here)
    [image] = find_images(typed)
    assert image.path == f"{typed.removesuffix('/')}/a/1.jpg"
    assert image.relative == "a/1.jpg"


def test_names_with_a_leading_dot_are_left_out(tmp_path):
    make(tmp_path, "a/1.jpg", "a/._1.jpg", "a/.hidden.jpg", ".cache/2.jpg", "a/.thumbs/3.jpg")
    assert relatives(tmp_path) == ["a/1.jpg"]


def test_linked_folders_and_files_are_followed(tmp_path):
    make(tmp_path / "elsewhere", "1.jpg")
    make(tmp_path / "photos", "a/2.jpg")
    (tmp_path / "photos/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/a/3.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    assert relatives(tmp_path / "photos") == ["a/2.jpg", "a/3.jpg", "b/1.jpg"]


def test_the_image_folder_may_be_a_link(tmp_path):
    make(tmp_path / "real", "a/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert relatives(tmp_path / "link") == ["a/1.jpg"]


def test_a_loop_of_links_ends(tmp_path):
    make(tmp_path, "a/1.jpg")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(tmp_path / "a")
    assert relatives(tmp_path) == ["a/1.jpg"]


def test_a_folder_wins_over_a_link_to_it(tmp_path):
    make(tmp_path, "roses/1.jpg")
    (tmp_path / "a_link").symlink_to(tmp_path / "roses")
    assert relatives(tmp_path) == ["roses/1.jpg"]


def test_a_broken_link_is_kept_to_be_reported_later(tmp_path):
    make(tmp_path, "a/1.jpg")
    (tmp_path / "a/2.jpg").symlink_to(tmp_path / "gone.jpg")
    assert relatives(tmp_path) == ["a/1.jpg", "a/2.jpg"]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    make(tmp_path, "a.jpg/1.jpg")
    assert relatives(tmp_path) == ["a.jpg/1.jpg"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, caplog):
    """Tests may run as root, who can read everything, so the refusal is made by hand."""
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert relatives(tmp_path) == ["a/1.jpg"]
    assert f"{tmp_path}/b cannot be read (Permission denied) and is left out" in caplog.text


def test_names_that_are_not_ascii_or_not_even_utf8(tmp_path):
    make(tmp_path, "blüten/日本.jpg", "a b/1,2.jpg", "-x/-1.jpg")
    (tmp_path / "a b" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    assert set(relatives(tmp_path)) == {
        "blüten/日本.jpg",
        "a b/1,2.jpg",
        "a b/\udcff.jpg",
        "-x/-1.jpg",
    }


def test_no_folder_named(tmp_path):
    with pytest.raises(InputError, match=r"Name the folder of images with image_dir\."):
        find_images("")


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"No such folder: .*/gone \(image_dir\)"):
        find_images(str(tmp_path / "gone"))


def test_a_file_instead_of_a_folder(tmp_path):
    make(tmp_path, "1.jpg")
    with pytest.raises(InputError, match=r"1\.jpg is a file; image_dir takes a folder"):
        find_images(str(tmp_path / "1.jpg"))


def test_a_folder_without_images_names_the_extensions(tmp_path):
    make(tmp_path, "a/readme.txt")
    with pytest.raises(InputError, match=r"No images in .*: no file ends in \.jpg, \.jpeg, "):
        find_images(str(tmp_path))


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("daisy", "daisy"),
        ("Vanda insignis", "vanda insignis"),
        ("Rnst.Bangkok Beauty", "rnst bangkok beauty"),
        ("a__b--c", "a b c"),
        ("Ascocenda_(hybrid)!", "ascocenda hybrid "),
        ("Blüten", "bl ten"),
        ("日本", " "),
        ("2nd", "2nd"),
    ],
)
def test_labels_are_normalised_as_retrain_py_does(folder, label):
    assert label_of(folder) == label


def image(relative):
    return ImageFile(f"photos/{relative}", relative)


def test_classes_in_the_order_of_their_folders():
    by_label = images_by_label([image("Roses/1.jpg"), image("daisy/x/2.jpg"), image("daisy/3.jpg")])
    assert {label: [i.relative for i in images] for label, images in by_label.items()} == {
        "roses": ["Roses/1.jpg"],
        "daisy": ["daisy/x/2.jpg", "daisy/3.jpg"],
    }
    assert list(by_label) == ["roses", "daisy"]


def test_colliding_labels_name_both_folders_and_the_way_out():
    images = [image("a-b/1.jpg"), image("a_b/2.jpg"), image("c/3.jpg")]
    with pytest.raises(InputError) as error:
        images_by_label(images)
    assert str(error.value) == (
        "The folders 'a-b' and 'a_b' both give the label 'a b'. Rename one, or pass "
        "keep_folder_names to use the names as they are."
    )
    assert list(images_by_label(images, keep_names=True)) == ["a-b", "a_b", "c"]


def test_folders_without_latin_letters_need_keep_names():
    images = [image("日本/1.jpg"), image("中国/2.jpg")]
    with pytest.raises(InputError, match=r"both give the label ' '.*keep_folder_names"):
        images_by_label(images)
    assert set(images_by_label(images, keep_names=True)) == {"日本", "中国"}


@pytest.mark.parametrize(
    ("names", "found"),
    [(["a/1.jpg", "a/2.jpg"], r"only one \('a'\)"), (["1.jpg", "2.jpg"], "none"), ([], "none")],
)
def test_fewer_than_two_classes(names, found):
    with pytest.raises(InputError, match=rf"at least two classes.*there is {found}\.") as error:
        images_by_label([image(name) for name in names])
    above = "If these are the images of one class, name the folder above it."
    assert str(error.value).endswith(above) == (found == "none")


def test_images_outside_the_class_folders_are_counted(caplog):
    by_label = images_by_label([image("loose.jpg"), image("a/1.jpg"), image("b/2.jpg")])
    assert sorted(by_label) == ["a", "b"]
    assert "1 images lie outside the class folders and are left out" in caplog.text


# --- lists ---


def listing(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    return read_image_list(str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"a.jpg\nb/c.png\n", ["a.jpg", "b/c.png"]),
        (b"a.jpg\r\nb/c.png\r\n", ["a.jpg", "b/c.png"]),
        (b"a.jpg\rb/c.png", ["a.jpg", "b/c.png"]),
        (b"\n\r\n  \n\t\na.jpg", ["a.jpg"]),
        (b"b\na\nb", ["b", "a", "b"]),
        (b" a b,c.jpg \n/x/y", [" a b,c.jpg ", "/x/y"]),
        ("blüten/日本.jpg\n".encode(), ["blüten/日本.jpg"]),
        (b"\xff.jpg\n", ["\udcff.jpg"]),
        ("a\u2028b\x0b.jpg\nc\x85".encode(), ["a\u2028b\x0b.jpg", "c\x85"]),
        (b"\xef\xbb\xbfa.jpg\r\nb.jpg", ["a.jpg", "b.jpg"]),  # as Windows' editor writes it
    ],
)
def test_a_list_has_a_path_in_each_line(tmp_path, data, paths):
    assert listing(tmp_path, data) == paths


@given(st.lists(st.binary(min_size=1).filter(lambda b: not {0, 10, 13} & set(b)), min_size=1))
def test_any_path_without_a_line_break_comes_back_as_python_names_it(tmp_path_factory, paths):
    paths = [path for path in paths if path.strip()] or [b"x"]
    paths[0] = b"x" + paths[0]  # not the mark that Windows begins a text with
    found = listing(tmp_path_factory.getbasetemp(), b"\n".join(paths))
    assert [os.fsencode(path) for path in found] == paths


@pytest.mark.parametrize("data", [b"", b"\n\r\n", b"   \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_list_without_a_path(tmp_path, data):
    with pytest.raises(InputError) as error:
        listing(tmp_path, data)
    assert str(error.value) == f"{tmp_path}/list.txt (image_list) names no images."


@pytest.mark.parametrize("data", ["a.jpg\r\n".encode("utf-16"), b"\x89PNG\r\n\x1a\n\0\0"])
def test_a_list_that_is_no_text(tmp_path, data):
    with pytest.raises(InputError) as error:
        listing(tmp_path, data)
    assert str(error.value) == f"{tmp_path}/list.txt (image_list) is not a text file of paths."


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.txt", "No such file or directory"), ("", "Is a directory")]
)
def test_a_list_that_cannot_be_read(tmp_path, name, reason):
    path = str(tmp_path / name)
    with pytest.raises(InputError) as error:
        read_image_list(path)
    assert str(error.value) == f"{path} (image_list) cannot be read: {reason}"
