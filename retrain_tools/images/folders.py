"""Folders of images: which files there are, and the label each folder stands for."""

from __future__ import annotations

import codecs
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from retrain_tools.errors import InputError, argument
from retrain_tools.images.decode import EXTENSIONS, ImageLike

log = logging.getLogger(__name__)

_KINDS_NAMED = 8  # of the files that are left out; the rest is counted
_NOT_IN_LABELS = re.compile(r"[^a-z0-9]+")  # retrain.py


class ImageFile(NamedTuple):
    """One image of a folder.

    Attributes:
        path: the folder as the user typed it, joined with `relative`; retrain.py's split hashes it.
        relative: path below the folder, with `/`, e.g. `daisy/1.jpg`.
    """

    path: str
    relative: str

    @property
    def folder(self) -> str:
        """The topmost folder below the image folder: the class; '' in a flat folder."""
        head, slash, _ = self.relative.partition("/")
        return head if slash else ""


def find_images(image_dir: str) -> list[ImageFile]:
    """Return the images below `image_dir`, at any depth, sorted by path.

    An image is a file whose name ends in one of EXTENSIONS in any capitalisation and does not
    start with a dot. Links to folders are followed, each real folder once; beside a link to it,
    the folder itself counts. A log line counts the files of other kinds.

    Raises:
        InputError: the folder does not exist, is a file, or holds no image.
    """
    if not image_dir:
        raise InputError(f"Name the folder of images with {argument('image_dir')}.")
    if not Path(image_dir).exists():
        raise InputError(f"No such folder: {image_dir} ({argument('image_dir')})")
    if not Path(image_dir).is_dir():
        raise InputError(
            f"{image_dir} is a file; {argument('image_dir')} takes a folder of images."
        )
    images, others = [], Counter[str]()
    visited: set[str] = set()
    for folder, subfolders, names in os.walk(image_dir, onerror=_warn, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(
            (name for name in subfolders if not name.startswith(".")),
            key=lambda name: (Path(folder, name).is_symlink(), name),
        )
        below = os.path.relpath(folder, image_dir)
        for name in names:
            if name.startswith("."):
                continue
            if not name.lower().endswith(EXTENSIONS):
                others[Path(name).suffix.lower() or "no extension"] += 1
            else:
                relative = name if below == "." else f"{below}/{name}".replace(os.sep, "/")
                images.append(ImageFile(os.path.join(image_dir, relative), relative))  # noqa: PTH118
    if not images:
        there = f"; there are files of other kinds: {counted_kinds(others)}" if others else ""
        ends = ", ".join(EXTENSIONS)
        raise InputError(f"No images in {image_dir}: no file ends in {ends}{there}.")
    if others:
        count = others.total()
        left_out = f"{count} file{'s' if count > 1 else ''} of other kinds left out"
        log.info("%s: %s", left_out, counted_kinds(others))
    return sorted(images)


def counted_kinds(kinds: Counter[str]) -> str:
    """Return `.tif 8, .heic 4`: the commonest kinds, and how many files are of the rest."""
    order = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    parts = [f"{kind} {count}" for kind, count in order[:_KINDS_NAMED]]
    if rest := sum(count for _, count in order[_KINDS_NAMED:]):
        parts.append(f"and {rest} more")
    return ", ".join(parts)


def expand_folders(images: ImageLike | Sequence[ImageLike]) -> list[ImageLike]:
    """Return one image or several as a list, with the images of a folder in place of the folder.

    Raises:
        InputError: a folder holds no image.
    """
    if not isinstance(images, (list, tuple)):
        images = [cast(ImageLike, images)]
    found: list[ImageLike] = []
    for image in images:
        is_folder = isinstance(image, (str, Path)) and Path(image).is_dir()
        found += [file.path for file in find_images(str(image))] if is_folder else [image]
    return found


def image_files(words: Iterable[str]) -> list[ImageFile]:
    """Return the images that words name: files, and the images of folders.

    The label of an image of a folder is that which the folder gives it; a file has none.

    Raises:
        InputError: a folder holds no image.
    """
    found: list[ImageFile] = []
    for word in words:
        found += find_images(word) if Path(word).is_dir() else [ImageFile(word, Path(word).name)]
    return found


def read_image_list(path: str) -> list[str]:
    """Return the paths in a text file, one a line; empty lines are skipped.

    They are taken as they stand there: relative ones from the working folder, as on a command line.

    Raises:
        InputError: there is no such file, it names nothing, or holds bytes that no path can.
    """
    where = f"{path} ({argument('image_list')})"
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from error
    if b"\0" in text:
        raise InputError(f"{where} is not a text file of paths.")
    lines = text.removeprefix(codecs.BOM_UTF8).splitlines()  # the mark is of Windows' editor
    paths = [os.fsdecode(line) for line in lines if line.strip()]
    if not paths:
        raise InputError(f"{where} names no images.")
    return paths


def _warn(error: OSError) -> None:
    log.warning("%s cannot be read (%s) and is left out", error.filename, error.strerror)


def label_of(folder: str) -> str:
    """Return retrain.py's label for a folder name: lower case, all but a-z and 0-9 as one space."""
    return _NOT_IN_LABELS.sub(" ", folder.lower())


def labels_of_folders(folders: Iterable[str], keep_names: bool = False) -> dict[str, str]:
    """Return the label of each folder, in the order of the folder names.

    With `keep_names`, they are the folder names as they are, not in retrain.py's normalised form.

    Raises:
        InputError: two folders give the same label, or a name is more than one line.
    """
    named: dict[str, str] = {}
    for folder in sorted(folders):
        label = folder if keep_names else label_of(folder)
        if label.splitlines() != [label]:
            raise InputError(
                f"The folder name {folder!r} would be more than one line of a file of labels. "
                f"Rename the folder, or leave out {argument('keep_folder_names')}."
            )
        if label in named:
            raise InputError(
                f"The folders {named[label]!r} and {folder!r} both give the label {label!r}. "
                f"Rename one, or pass {argument('keep_folder_names')} to use the names as they are."
            )
        named[label] = folder
    return {folder: label for label, folder in named.items()}


def images_by_label(
    images: Iterable[ImageFile], keep_names: bool = False, given: str = "image_dir"
) -> dict[str, list[ImageFile]]:
    """Group images into classes by their topmost folder, in the order of the folder names.

    Images outside any class folder are left out. With `keep_names`, folder names are the labels as
    they are, not in retrain.py's normalised form. Messages call the argument that named the folder
    by `given`.

    Raises:
        InputError: two folders give the same label, or there are fewer than two classes.
    """
    folders: dict[str, list[ImageFile]] = {}
    for image in images:
        folders.setdefault(image.folder, []).append(image)
    loose = folders.pop("", [])
    if loose and folders:
        log.warning("%d images lie outside the class folders and are left out", len(loose))
    by_label: dict[str, list[ImageFile]] = {}
    for folder, label in labels_of_folders(folders, keep_names).items():
        by_label[label] = folders[folder]
    if len(by_label) < 2:
        found = "none. If these are the images of one class, name the folder above it."
        if by_label:
            found = f"only one ({next(iter(by_label))!r})."
        raise InputError(
            f"Training takes at least two classes, one folder of images each, below "
            f"{argument(given)}; there is {found}"
        )
    return by_label
