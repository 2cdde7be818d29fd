"""What is trained on where there are bottlenecks and no images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.features.adopt import refuse_other_depth
from retrain_tools.features.cache import Identity
from retrain_tools.features.cache_formats import AnyCache, open_cache
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions, identity_of
from retrain_tools.features.manifest import read_manifest, refuse_another
from retrain_tools.features.outcome import Outcome
from retrain_tools.features.read_cache import (
    ByNaming,
    choose_naming,
    made_by_others,
    read_sound_files,
)
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.dataset import Dataset, dataset_of, images_of, without
from retrain_tools.images.folders import ImageFile, images_by_label
from retrain_tools.images.splits import fill_empty_splits, split_images

log = logging.getLogger(__name__)

_FILES_TRIED = 10  # of each naming, to see whether it has bottlenecks of the graph's length


def read_dataset(
    frozen: FrozenGraph | None,
    found: ByNaming,
    cache: CacheOptions,
    split: tuple[int, int, str],
    keep_folder_names: bool = False,
) -> tuple[Dataset, Outcome, Identity | None]:
    """Read the bottlenecks of a folder with one folder per class.

    Nothing is written there but a packed copy of text files, for the next time.

    The images are those that the names of the files tell, so a split by `basename` is the one that
    the images themselves have. A file that is damaged or of another length is named and left out.

    Args:
        frozen: the graph that they should be of; None where it is not at hand.
        found: what `find_bottlenecks` found in the folder.
        cache: the folder, and which naming in it. `preferred_suffix` has to be there, unless it is
            '', or the folder has only files of 2016, whose names do not tell of the network.
        split: testing percentage, validation percentage and split key.
        keep_folder_names: labels are folder names as they are.

    Returns:
        The dataset, what became of the files, and what the graph's own values depend on.

    Raises:
        InputError: see `choose_naming`, `images_by_label`, `read_sound_files` and
            `fill_empty_splits`; or the bottlenecks are not of this graph.
    """
    folder = Path(cache.bottleneck_dir)
    identity = None if frozen is None else identity_of(frozen, cache.pooling, cache.running)
    depth = _depth(frozen, cache)
    suffix = _naming(found, cache, frozen, identity, depth)
    if identity is not None:
        refuse_another(read_manifest(folder, suffix), folder, suffix, identity)
    others = made_by_others(folder, suffix, (i.relative for i in found[suffix]), identity)
    there = [image for image in found[suffix] if image.relative not in others]
    splits = split_images(images_by_label(there, keep_folder_names, "bottleneck_dir"), *split)
    images = images_of(splits)
    files = open_cache(folder, suffix, depth)
    read = read_sound_files(files, images, keep_packed=True)
    if frozen is not None:
        if read.lengths and not read.images:
            refuse_other_depth(files, read.lengths, frozen.spec.bottleneck)
        if not (identity and _is_made_by(folder, suffix, identity)):
            log.warning("%s has no manifest that says what made its bottlenecks: whether they are "
                        "this graph's can only be told by their length", folder)  # fmt: skip
    _report_failures(files, images, read.failed, cache)
    filled = fill_empty_splits(without(splits, read.failed), *split)
    dataset = dataset_of(filled, read.images, read.vectors)
    return dataset, Outcome(reused=len(read.images), failed=read.failed), identity


def _naming(
    found: ByNaming,
    cache: CacheOptions,
    frozen: FrozenGraph | None,
    identity: Identity | None,
    depth: int,
) -> str:
    """Return the naming that the command says, else the one that is most likely the graph's."""
    folder, wanted = Path(cache.bottleneck_dir), cache.bottleneck_suffix
    if wanted is None and cache.preferred_suffix and set(found) != {""}:
        wanted = cache.preferred_suffix

    def has_its_length(suffix: str) -> bool:
        some = found[suffix][:_FILES_TRIED]
        return bool(depth and read_sound_files(open_cache(folder, suffix, depth), some).images)

    entry = frozen.entry if frozen else None
    names = {f"_{name}" for name in (entry.name, *entry.aliases)} if entry else set()
    likely = (
        {suffix for suffix in found if identity and _is_made_by(folder, suffix, identity)},
        names.intersection(found),
        {suffix for suffix in found if has_its_length(suffix)},
    )
    the_one = next((candidates for candidates in likely if len(candidates) == 1), set())
    return choose_naming(folder, found, wanted, the_one)


def _is_made_by(folder: Path, suffix: str, identity: Identity) -> bool:
    try:
        manifest = read_manifest(folder, suffix)
    except InputError:  # a file of another program
        return False
    return manifest is not None and manifest.identity == identity


def _depth(frozen: FrozenGraph | None, cache: CacheOptions) -> int:
    """Return how many values a bottleneck of the graph has; 0 where there is none."""
    if frozen is None:
        return 0
    with Extractor(frozen, [frozen.spec.bottleneck], cache.pooling) as extractor:
        return int(extractor.shapes[0][0])


def _report_failures(
    files: AnyCache, images: list[ImageFile], failed: Mapping[str, str], cache: CacheOptions
) -> None:
    for image in images:
        if image.path in failed:
            line = f"{files.place(image)} cannot be used: {failed[image.path]}"
            if cache.on_error == "fail":
                raise InputError(f"{line}.")
            log.warning(line)
    if len(failed) == len(images):
        raise InputError(f"None of the {len(images)} bottlenecks in {files.folder} can be used.")
