"""How good a graph's own classifier is on folders of images, one for each of its labels."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.outcome import OnError
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.evaluation import Evaluation, compare
from retrain_tools.head.imagenet import synsets_of
from retrain_tools.head.labelling import Labelled, labelled, open_classifier
from retrain_tools.images.folders import ImageFile, label_of
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

_MOST_NAMES = 10  # in a message; metrics.json has them all


@dataclasses.dataclass(frozen=True)
class GraphEvaluation:
    """What a graph's own classifier made of folders of images.

    Attributes:
        graph: its file.
        labels: of its classes; where several are the same, with their numbers.
        test: the figures.
        labelled: each image with its best labels, in the order of the images.
        misclassified: (image, given label) of the mistakes.
        left_out: how many images a folder has that is none of the labels.
        without_folder: the labels that no folder stands for.
    """

    graph: str
    labels: list[str]
    test: Evaluation
    labelled: list[Labelled]
    misclassified: list[tuple[str, str]]
    left_out: dict[str, int]
    without_folder: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for `metrics.json`, in the form that `retrain` gives it."""
        return {
            "graph": self.graph,
            "labels": self.labels,
            "test": self.test.as_dict(self.labels),
            "misclassified": [{"image": i, "given": label} for i, label in self.misclassified],
            "failed": [(one.image, one.error) for one in self.labelled if one.error is not None],
            "folders_left_out": self.left_out,
            "labels_without_folder": self.without_folder,
        }


def check_class_folders(images: Sequence[ImageFile]) -> None:
    """Raise InputError if none of the images lies in a folder of its class."""
    if not any(image.folder for image in images):
        raise InputError(
            f"{argument('evaluate')} takes one folder of images for each label, below "
            f"{argument('image_dir')}; there is none. If these are the images of one label, name "
            "the folder above it."
        )


def evaluate_graph(
    frozen: FrozenGraph,
    labels_for: Callable[[int], list[str]],
    images: Sequence[ImageFile],
    top_k: int = 5,
    on_error: OnError = "skip",
    running: RunSettings = DEFAULTS,
) -> GraphEvaluation:
    """Label images with a graph's own classifier, and compare with the folders they lie in.

    An image's topmost folder stands for the label of that name, or for the one that retrain.py
    makes of it; in a network of ImageNet, also for the class of its WordNet id. Images of other
    folders, and those outside of any, are left out with a warning.

    Args:
        frozen: the graph; its scores are those of `spec.final`.
        labels_for: gives the labels for a number of scores.
        images: the images.
        top_k: how many labels to give for each image.
        on_error: whether an image that cannot be used is left out.
        running: how the graph is run.

    Raises:
        InputError: the graph has no scores, the labels do not fit them, no folder is a label, one
            may be several, or an image cannot be used and `on_error` is `fail`.
    """
    check_class_folders(images)
    results, classes, predicted, losses = [], list[int](), list[int](), list[float | None]()
    with open_classifier(frozen, labels_for, running) as (extractor, labels):
        folders = collections.Counter(image.folder for image in images)
        outside = folders.pop("", 0)
        synsets = synsets_of(labels)
        class_of = _classes_of_folders(list(folders), labels, synsets or [])
        left_out = {folder: folders[folder] for folder in folders if folder not in class_of}
        without = [label for i, label in enumerate(labels) if i not in class_of.values()]
        _warn(outside, left_out, without, labels)
        used = [image for image in images if image.folder in class_of]
        results_of_images = extractor.extract([image.path for image in used])
        for image, (path, result) in zip(used, results_of_images, strict=True):
            results.append(labelled(path, result, labels, synsets, top_k, on_error))
            if isinstance(result, list):
                classes.append(class_of[image.folder])
                predicted.append(int(result[0].argmax()))
                losses.append(_cross_entropy(result[0], classes[-1]))
    known = [loss for loss in losses if loss is not None]
    loss = float(np.mean(known)) if known and len(known) == len(losses) else None
    names = _told_apart(labels)
    test = compare(np.array(classes, int), np.array(predicted, int), len(labels), loss)
    good = [one.image for one in results if one.error is None]
    wrong = [
        (path, names[given])
        for path, true, given in zip(good, classes, predicted, strict=True)
        if given != true
    ]
    return GraphEvaluation(str(frozen.path), names, test, results, wrong, left_out, without)


def _classes_of_folders(
    folders: Sequence[str], labels: Sequence[str], synsets: Sequence[str]
) -> dict[str, int]:
    """Return the class that each folder stands for; folders that are no label are not in it.

    Raises:
        InputError: a folder may be several classes, or none is any.
    """
    exact, usual = collections.defaultdict(list), collections.defaultdict(list)
    for number, synset in enumerate(synsets):
        exact[synset].append(number)
    for number, label in enumerate(labels):
        exact[label].append(number)
        if label.isascii():  # in retrain.py's form, all other letters are the same
            usual[label_of(label)].append(number)
    found = {}
    for folder in folders:
        numbers = exact.get(folder) or usual.get(label_of(folder), [])
        if len(numbers) > 1:
            which = ", ".join(f"{labels[number]!r} (class {number})" for number in numbers)
            raise InputError(
                f"The folder {folder!r} may be any of the graph's labels {which}; give these "
                f"labels of their own with {argument('labels')}, or leave the folder out."
            )
        if numbers:
            found[folder] = numbers[0]
    if not found:
        raise InputError(
            f"No folder is named after a label of the graph. Folders: {_some(folders)}. Labels: "
            f"{_some(labels)}."
        )
    return found


def _warn(
    outside: int, left_out: dict[str, int], without: Sequence[str], labels: Sequence[str]
) -> None:
    if outside:
        log.warning("%s outside of the class folders, left out", counted(outside, "image"))
    for folder, count in left_out.items():
        hint = did_you_mean(label_of(folder), labels)
        log.warning(
            "%s in %r, left out: the graph has no such label.%s",
            *(counted(count, "image"), folder, hint),
        )
    if without:
        log.warning(
            "%d of the graph's %s without a folder of images: %s",
            *(len(without), counted(len(labels), "label"), _some(without)),
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more


def _cross_entropy(scores: Any, true: int) -> float | None:
    """Return the negative logarithm of the true class's score; None if they add up to no 1."""
    if scores.min() < 0 or abs(scores.sum(dtype=np.float64) - 1) > 1e-3:
        return None
    return float(-np.log(max(scores[true], np.finfo(np.float32).tiny)))


def _told_apart(labels: Sequence[str]) -> list[str]:
    """Return labels of which no two are the same: figures are given by label."""
    often = collections.Counter(labels)
    return [
        f"{label} (class {number})".lstrip() if often[label] > 1 else label
        for number, label in enumerate(labels)
    ]
