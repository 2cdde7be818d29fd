"""The classes of ImageNet 2012, in the orders in which networks score them."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from retrain_tools import catalog
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef import note
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.slim.networks import NETWORKS

log = logging.getLogger(__name__)

NAME = "imagenet"
"""What asks for these classes where labels are asked for."""

_TABLE = Path(__file__).with_name("data") / "imagenet_2012.tsv"
_BACKGROUND = "background"  # as slim's label files call class 0
_NUMBERED = re.compile(r"\d+:")  # before each label of the MobileNets' labels.txt


class ImageNetClass(NamedTuple):
    """One of the 1000 classes.

    Attributes:
        synset: its WordNet id, as `n02510455`; empty for a score that is of no class.
        position_2015: its place among the 1008 scores of the graph of 2015, from 0.
        name: what people call it; several names are separated by `, `.
    """

    synset: str
    position_2015: int
    name: str


@functools.cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """Return the 1000 classes, sorted by their WordNet ids.

    They are derived from the label maps of the graph of 2015; the table says how.

    Example:
        >>> imagenet_classes()[388]
        ImageNetClass(synset='n02510455', position_2015=169, name='giant panda, panda, …')
    """
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return tuple(ImageNetClass(synset, int(number), name) for synset, number, name in rows)


@functools.cache
def classes_by_score(count: int) -> tuple[ImageNetClass, ...] | None:
    """Return the class of each score of a network of ImageNet; None if none has so many scores.

    Args:
        count: 1000 are sorted by WordNet id (Keras Applications; VGG and ResNet v1 of slim); 1001
            have the background before those (slim's other networks); 1008 are in the order of the
            graph of 2015, whose first score and last seven are of no class and have no name.
    """
    classes = imagenet_classes()
    if count == len(classes):
        return classes
    if count == len(classes) + 1:
        return (ImageNetClass("", 0, _BACKGROUND), *classes)
    if count == 1008:
        by_position = {one.position_2015: one for one in classes}
        return tuple(by_position.get(i, ImageNetClass("", i, "")) for i in range(count))
    return None


def imagenet_labels(count: int) -> list[str]:
    """Return the names of the classes in the order of a network's scores.

    Raises:
        InputError: no network of ImageNet has so many scores.

    Example:
        >>> imagenet_labels(1001)[:2]
        ['background', 'tench, Tinca tinca']
    """
    classes = classes_by_score(count)
    if classes is None:
        raise InputError(
            f"{argument('labels')}={NAME} names 1000 scores, 1001 (the first is the background) or "
            f"1008 (those of the graph of 2015), but the graph gives {count} scores; name a file "
            f"with {argument('labels')}."
        )
    return [one.name for one in classes]


def synsets_of(labels: Sequence[str]) -> list[str] | None:
    """Return the WordNet id of each label; None if the labels are not those of ImageNet.

    All have to be as the table has them, in one of its orders; the numbers that the MobileNets'
    `labels.txt` puts before them are allowed. A label of no class has an empty id.
    """
    classes = classes_by_score(len(labels))
    if classes is None:
        return None
    plain = [_NUMBERED.sub("", label, count=1) for label in labels]
    return [one.synset for one in classes] if plain == [one.name for one in classes] else None


def known_labels(frozen: FrozenGraph, count: int) -> list[str] | None:
    """Return the names of the classes if the graph is known to be a network of ImageNet.

    It is if it has its own last layer, as many scores as that, and is in the catalogue, a
    checkpoint of slim, or of Keras Applications. Others may have trained such a network anew on as
    many classes of their own: unless the file is the published one, a log line says what the labels
    are and why.
    """
    found = _known_network(frozen, count)
    if found is None:
        return None
    network, is_published = found
    if not is_published:
        log.info(
            "labels: those of ImageNet's 1000 classes, because %s is %s, with %d scores. If it was "
            "trained on other classes, name them with labels=FILE.",
            *(frozen.path, network, count),
        )
    return imagenet_labels(count)


def _known_network(frozen: FrozenGraph, count: int) -> tuple[str, bool] | None:
    """Return what network of ImageNet a graph is, in words, and whether its weights are, too."""
    final, entry = frozen.spec.final, frozen.entry
    if entry is not None and (final, count) == (entry.final, entry.imagenet_scores):
        return f"a network as {entry.name}", catalog.is_published(frozen.path, entry)
    found = note.read_note(frozen.graph_def)
    if found is None or final not in (found.final, *found.end_points.values()):
        return None
    if found.source in NETWORKS and count == NETWORKS[found.source].num_classes:
        checkpoint = catalog.find_checkpoint(frozen.path.name)
        return f"slim's {found.source}", bool(checkpoint and checkpoint.network == found.source)
    application, _, weights = found.source.partition(" weights=")
    if application.startswith("keras:") and count == len(imagenet_classes()):
        name = f"{application.removeprefix('keras:')} of Keras Applications"
        drawn = " with random weights, which know no class" if weights == "none" else ""
        return name + drawn, weights == "imagenet"
    return None
