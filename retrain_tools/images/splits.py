"""Which image is for training, validation or testing: retrain.py's rule, and its repair."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence

from retrain_tools.errors import InputError, argument
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

SPLITS = ("training", "validation", "testing")

# retrain.py's MAX_NUM_IMAGES_PER_CLASS, which its hash is taken modulo (TensorFlow 1.0 and later).
_HASH_RANGE = 2**27
_FEW_IMAGES = 20  # retrain.py warns below this

# label -> split -> images
Splits = dict[str, dict[str, list[ImageFile]]]


def split_percentage(key: str) -> float:
    """Return where in 0 to 100 an image falls: the SHA-1 rule of retrain.py since TensorFlow 1.0.

    The key is the path as typed (historical), or the file name. Everything from `_nohash_` on is
    cut off first, so that variants of one image stay together.
    """
    hashed = key.partition("_nohash_")[0].encode("utf-8", "surrogateescape")
    digest = hashlib.sha1(hashed, usedforsecurity=False).digest()
    return (int.from_bytes(digest[-4:]) % _HASH_RANGE) * (100.0 / (_HASH_RANGE - 1))


def check_percentages(testing_percentage: int, validation_percentage: int) -> None:
    """Raise InputError if the percentages are negative, or leave nothing to train on."""
    if min(testing_percentage, validation_percentage) < 0 or (
        testing_percentage + validation_percentage >= 100
    ):
        raise InputError(
            f"{argument('testing_percentage')}={testing_percentage} and "
            f"{argument('validation_percentage')}={validation_percentage} must not be negative and "
            "must add up to less than 100."
        )


def split_images(
    by_label: Mapping[str, Sequence[ImageFile]],
    testing_percentage: int,
    validation_percentage: int,
    split_key: str = "path",
) -> Splits:
    """Assign every image to a split by its hash alone.

    The `split_key` says what is hashed. `path`: the path as typed, as retrain.py did (moving the
    folder changes the split); `basename`: the file name only.

    Raises:
        InputError: see `check_percentages`.
    """
    check_percentages(testing_percentage, validation_percentage)
    splits: Splits = {}
    for label, images in by_label.items():
        splits[label] = {name: [] for name in SPLITS}
        for image in images:
            where = split_percentage(_key(image, split_key))
            if where < validation_percentage:
                name = "validation"
            elif where < testing_percentage + validation_percentage:
                name = "testing"
            else:
                name = "training"
            splits[label][name].append(image)
    return splits


def _key(image: ImageFile, split_key: str) -> str:
    return os.path.basename(image.path) if split_key == "basename" else image.path  # noqa: PTH119


def fill_empty_splits(
    splits: Splits, testing_percentage: int, validation_percentage: int, split_key: str = "path"
) -> Splits:
    """Return the splits with at least one image of every class wherever one is needed.

    retrain.py divides by zero on an empty split. Here the class's largest split gives the image
    whose hash is nearest to the empty one's range, so the same images always move.

    Raises:
        InputError: a class has fewer images than there are splits to fill.
    """
    ranges = {
        "training": (testing_percentage + validation_percentage, 100),
        "validation": (0, validation_percentage),
        "testing": (validation_percentage, testing_percentage + validation_percentage),
    }
    needed = [name for name, (low, high) in ranges.items() if high > low]
    filled: Splits = {}
    for label, parts in splits.items():
        parts = {name: list(images) for name, images in parts.items()}
        count = sum(len(images) for images in parts.values())
        if count < len(needed):
            raise InputError(
                f"Class {label!r} has {count} usable images; it takes at least {len(needed)}, "
                f"one each for {', '.join(needed)}. Add images, or remove the folder."
            )
        if count < _FEW_IMAGES:
            log.warning("class %r has only %d images, which may be too few", label, count)
        for name in needed:
            if not parts[name]:
                giver = max(parts, key=lambda part: len(parts[part]))
                low, high = ranges[name]
                middle = (low + high) / 2
                moved = min(
                    parts[giver],
                    key=lambda i: (abs(split_percentage(_key(i, split_key)) - middle), i),
                )
                parts[giver].remove(moved)
                parts[name].append(moved)
                log.warning(
                    "class %r had no %s image; %s was moved there from %s",
                    label, name, moved.relative, giver,
                )  # fmt: skip
        filled[label] = parts
    return filled
