"""The labels of a graph's scores: in its note, a file beside it or a named one, or ImageNet's."""

from __future__ import annotations

import codecs
import dataclasses
import itertools
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from retrain_tools import catalog
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import note
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head import imagenet

log = logging.getLogger(__name__)

_BESIDE_A_GRAPH = (
    "{name}_labels.txt",
    "{name}.txt",
    "output_labels.txt",
    "retrained_labels.txt",
    "labels.txt",
)
_ENDS_OF_GRAPHS = re.compile(r"(\.(pb|pbtxt|pbtext|meta|h5|hdf5|keras|gz|tar|tgz|zip))+$", re.I)
_SYNSET_NAMES = "imagenet_synset_to_human_label_map.txt"
_TARGET_CLASS = re.compile(
    r'entry\s*\{\s*target_class:\s*(\d{1,18})\d*\s*target_class_string:\s*"(n\d+)"\s*\}'
)


@dataclasses.dataclass(frozen=True)
class _Given:
    """Labels as somebody gave them.

    Attributes:
        labels: in the order of the scores; there may be too many or too few.
        where: what they come from, for messages.
        place: what the one of a class is called there.
    """

    labels: list[str]
    where: str
    place: Callable[[int], str]


def labels_of(
    frozen: FrozenGraph, count: int, given: str | Path | Sequence[str] | None = None
) -> list[str]:
    """Return the labels of a graph's scores.

    1. `given`, where it is not None: see `read_labels`. It may not differ from the graph's note.
    2. Those in the graph's note, where `retrain` put them.
    3. Of a graph X.pb: those of the first of X_labels.txt, X.txt, output_labels.txt,
       retrained_labels.txt and labels.txt beside it that has as many labels as there are scores.
    4. For a catalogued network with its own last layer: those of its files beside it.
    5. For a network that is known to be of ImageNet: those of its classes; see
       `imagenet.known_labels`.
    6. The numbers of the classes, from 0, and a warning that says so.

    Args:
        frozen: the graph.
        count: how many scores it gives.
        given: the labels themselves, their file, or `imagenet`.

    Raises:
        InputError: the labels that were given are not those of the graph.
    """
    own = note.read_labels(frozen.graph_def)
    if own is not None and len(own) != count:
        own = None  # another layer's
    if given is not None:
        return read_labels(given, count, own, frozen.path)
    return own or _labels_beside(frozen, count)


def read_labels(
    labels: str | Path | Sequence[str],
    count: int,
    noted: Sequence[str] | None = None,
    graph: str | Path = "",
) -> list[str]:
    """Return the labels of `count` scores.

    Args:
        labels: the labels themselves, or their file: text with one label a line, or
            `imagenet_2012_challenge_label_map_proto.pbtxt` with
            `imagenet_synset_to_human_label_map.txt` beside it. Classes that the map does not know
            get an empty label, as classify_image.py gave them. `imagenet`, where no file has that
            name, stands for the classes of ImageNet in the order that networks with `count`
            scores have them in.
        count: how many scores the graph gives.
        noted: the labels in the graph's note, from which these may not differ; None if there are
            none.
        graph: the graph's file, for that message.

    Raises:
        InputError: a file is missing or not text, there is another number of labels, or they are
            not those of the note.
    """
    if _is_imagenet(labels):
        known = imagenet.imagenet_labels(count)
        given = _Given(known, imagenet.NAME, lambda number: f"class {number} of ImageNet")
    elif isinstance(labels, (str, Path)):
        given = _read(Path(labels), count)
    else:
        name = argument("labels")
        given = _Given(list(labels), name, lambda number: f"{name}[{number}]")
        if len(labels) != count:
            raise InputError(f"{name} are {len(labels)}, but the graph gives {count} scores.")
    if noted is not None:  # before they are counted: it shows which line is missing
        _check_same(given, noted, graph)
    if len(given.labels) != count:
        raise InputError(
            f"{given.where} has {_number_of_labels(given, count)}, but the graph gives {count} "
            f"scores; name the right file with {argument('labels')}."
        )
    return given.labels


def check_labels_file(path: str | Path) -> None:
    """Raise InputError if there is no such file, and it is not `imagenet`."""
    if not Path(path).is_file() and not _is_imagenet(path):
        raise InputError(f"No such label file: {path}")


def _is_imagenet(labels: str | Path | Sequence[str]) -> bool:
    return labels == imagenet.NAME and not Path(imagenet.NAME).exists()


def _check_same(given: _Given, noted: Sequence[str], graph: str | Path) -> None:
    """Raise InputError with the first difference between labels and those in a graph's note."""
    for number, (label, own) in enumerate(itertools.zip_longest(given.labels, noted)):
        if label == own:
            continue
        place = given.place(number)
        found = f"{place} is missing" if label is None else f"{place} is {label!r}"
        expected = f"only {len(noted)} labels" if own is None else f"{own!r} there"
        raise InputError(
            f"{found}, but {graph} has labels of its own, with {expected}; leave out "
            f"{argument('labels')} to use them."
        )


def _number_of_labels(given: _Given, count: int) -> str:
    is_one_short = (len(given.labels), count) == (1000, 1001)  # of ImageNet
    why = " (a line for slim's class 0, the background, is missing)" if is_one_short else ""
    return f"{len(given.labels)} labels{why}"


def _labels_beside(frozen: FrozenGraph, count: int) -> list[str]:
    """Return the labels of the first file beside a graph that has `count` of them.

    Where there is none, they are those of ImageNet if it is a network of that, or numbers.
    """
    fitting: list[_Given] = []
    others: list[str] = []
    names, folders = _places(frozen.path)
    files = [folder / name for folder in folders for name in names]
    if frozen.entry is not None and frozen.spec.final == frozen.entry.final:  # not a retrained one
        files += catalog.label_paths(frozen.entry, frozen.path)[:1]  # what it needs lies beside it
    for path in dict.fromkeys(files):
        if not path.is_file():
            continue
        try:
            given = _read(path, count)
        except InputError:
            others.append(f"{path.name} cannot be used")
            continue
        if len(given.labels) == count:
            fitting.append(given)
        else:
            others.append(f"{path.name} has {_number_of_labels(given, count)}")
    if fitting:
        for other in fitting[1:]:
            if other.labels != fitting[0].labels:
                log.warning(
                    "The labels are those of %s. %s has as many, and others: if those are right, "
                    "say labels=%s",
                    *(fitting[0].where, other.where, other.where),
                )
        return fitting[0].labels
    if known := imagenet.known_labels(frozen, count):
        return known
    looked = "; ".join(others) or f"looked for {', '.join(names)}"
    is_imagenets = imagenet.classes_by_score(count) is not None
    log.warning(
        "No labels are known for the %d scores of %s (%s), so classes are shown by their numbers, "
        "from 0; name a file with labels=FILE%s.",
        *(count, frozen.path, looked),
        ", or say labels=imagenet if they are its classes" if is_imagenets else "",
    )
    return [str(number) for number in range(count)]


def _places(graph: Path) -> tuple[list[str], list[Path]]:
    """Return the names that a graph's label file may have, and the folders where it may lie."""
    name = graph.absolute().name
    if not graph.is_dir():
        name = _ENDS_OF_GRAPHS.sub("", name)
    # Inside of an archive nothing lies beside the graph, but beside the archive it may.
    outside = next((parent for parent in graph.parents if parent.is_dir()), Path(".."))
    return (
        [file.format(name=name) for file in _BESIDE_A_GRAPH],
        ([graph] if graph.is_dir() else []) + [outside],
    )


def _read(path: Path, count: int) -> _Given:
    """Return the labels in a file: they may be more or fewer than `count`.

    Raises:
        InputError: it is missing or not of labels, or is a map of classes that the graph lacks.
    """
    text = _text(path)
    if not (pairs := _TARGET_CLASS.findall(text)):
        lines = text.rstrip("\n").split("\n") if text.strip("\n") else []
        while len(lines) > count and not lines[-1].strip():
            lines.pop()
        return _Given(lines, str(path), lambda number: f"line {number + 1} of {path}")
    lines = _text(path.parent / _SYNSET_NAMES).split("\n")
    names = {synset: name for synset, tab, name in (line.partition("\t") for line in lines) if tab}
    by_class = {int(number): names.get(synset, "") for number, synset in pairs}
    if max(by_class) >= count:
        raise InputError(
            f"{path} labels classes up to {max(by_class)}, but the graph gives {count} scores; "
            f"name the right file with {argument('labels')}."
        )
    labels = [by_class.get(number, "") for number in range(count)]
    return _Given(labels, str(path), lambda number: f"class {number} of {path}")


def _text(path: Path) -> str:
    """Return a text with its lines ended by one character each."""
    check_labels_file(path)
    try:
        data = path.read_bytes()
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")  # Windows puts a mark in front
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file of labels.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
