"""Label files: one label a line, or the two label maps of the 2015 graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from retrain_tools import catalog
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.spec import FrozenGraph

_BESIDE_A_GRAPH = ("output_labels.txt", "retrained_labels.txt")
_SYNSET_NAMES = "imagenet_synset_to_human_label_map.txt"
_TARGET_CLASS = re.compile(
    r'entry\s*\{\s*target_class:\s*(\d+)\s*target_class_string:\s*"(n\d+)"\s*\}'
)


def read_labels(labels: str | Path | Sequence[str], count: int) -> list[str]:
    """Return the labels of `count` scores.

    Args:
        labels: the labels themselves, or their file: text with one label a line, or
            `imagenet_2012_challenge_label_map_proto.pbtxt` with
            `imagenet_synset_to_human_label_map.txt` beside it. Classes that the map does not know
            get an empty label, as classify_image.py gave them.
        count: how many scores the graph gives.

    Raises:
        InputError: a file is missing or not text, or there is another number of labels.
    """
    if not isinstance(labels, (str, Path)):
        if len(labels) != count:
            raise InputError(
                f"{argument('labels')} are {len(labels)}, but the graph gives {count} scores."
            )
        return list(labels)
    path = Path(labels)
    text = _read(path)
    if pairs := _TARGET_CLASS.findall(text):
        lines = [line.partition("\t") for line in _read(path.parent / _SYNSET_NAMES).splitlines()]
        names = {synset: name for synset, tab, name in lines if tab}
        by_class = {int(number): names.get(synset, "") for number, synset in pairs}
        if max(by_class) >= count:
            raise InputError(
                f"{path} labels classes up to {max(by_class)}, but the graph gives {count} scores; "
                f"name the right file with {argument('labels')}."
            )
        return [by_class.get(number, "") for number in range(count)]
    found = text.rstrip("\r\n").splitlines()
    if len(found) != count:
        raise InputError(
            f"{path} has {len(found)} labels, but the graph gives {count} scores; "
            f"name the right file with {argument('labels')}."
        )
    return found


def find_labels(frozen: FrozenGraph) -> Path:
    """Return the label file that lies beside the graph.

    Raises:
        InputError: there is none.
    """
    folders = ([frozen.path] if frozen.path.is_dir() else []) + [frozen.path.parent]
    beside = [folder / name for folder in folders for name in _BESIDE_A_GRAPH]
    if frozen.entry is not None and frozen.spec.final == frozen.entry.final:  # not a retrained one
        beside = catalog.label_paths(frozen.entry, frozen.path)
    for path in beside:
        if path.is_file():
            return path
    raise InputError(f"No label file lies beside {frozen.path}; name it with {argument('labels')}.")


def check_labels_file(path: str | Path) -> None:
    """Raise InputError if there is no such file."""
    if not Path(path).is_file():
        raise InputError(f"No such label file: {path}")


def _read(path: Path) -> str:
    check_labels_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows editors put a mark in front
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file of labels.") from error
