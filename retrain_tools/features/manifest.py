"""The manifest of a bottleneck folder: which graph made what is there, and what nobody knows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retrain_tools import __version__, files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.faithfulness import Difference, of_more_images

_FORMAT = 1
_UNCHECKED = (
    "The bottlenecks that are not listed here were taken as they are: nobody has checked which "
    "graph made them."
)


@dataclasses.dataclass(frozen=True)
class Computed:
    """Bottlenecks that a graph is known to have computed.

    Attributes:
        graph: the graph's file, for people to read.
        identity: what the values depend on.
        images: the images, by their paths below the image folder.
    """

    graph: str
    identity: Identity
    images: list[str]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is known of the bottlenecks of a folder.

    Attributes:
        identity: what the values depend on; None for those of another program that nobody checked.
        depth: values per file.
        graph: the graph's file, for people to read.
        adopted: of a cache that another program filled: how many bottlenecks it had and how many of
            them were checked; else None.
        computed: the bottlenecks of which something else is known.
        difference: from the exact way, of values that were computed in another, on the first images
            of a run; for people to read.
    """

    identity: Identity | None
    depth: int
    graph: str
    adopted: Mapping[str, Any] | None = None
    computed: tuple[Computed, ...] = ()
    difference: Difference | None = None

    def own(self, identity: Identity) -> set[str]:
        """Return the images of `computed` whose values are of this identity."""
        return {image for one in self.computed if one.identity == identity for image in one.images}

    def others(self, identity: Identity | None) -> dict[str, str]:
        """Return those whose values are of another identity, and the graph each was made by."""
        groups = [one for one in self.computed if one.identity != identity]
        return {image: one.graph for one in groups for image in one.images}

    def with_computed(self, identity: Identity, graph: str, images: Iterable[str]) -> Manifest:
        """Return the manifest for when the values of some images are of this identity."""
        new = set(images)
        known = [
            dataclasses.replace(one, images=sorted({*one.images} - new))
            for one in self.computed
            if one.identity != identity
        ]
        if self.identity is None:
            known.append(Computed(graph, identity, sorted(new | self.own(identity))))
        return dataclasses.replace(self, computed=tuple(one for one in known if one.images))


def manifest_path(folder: Path, suffix: str) -> Path:
    """Return where the manifest of this naming is kept: namings may share a folder."""
    return folder / f"manifest{suffix}.json"


def read_manifest(folder: Path, suffix: str) -> Manifest | None:
    """Return the manifest of a naming, or None where there is none.

    Raises:
        InputError: the file is not a manifest.
    """
    path = manifest_path(folder, suffix)
    try:
        content = files.json_of(files.read_regular(path))
        said, depth, adopted = content["identity"], content["depth"], content.get("adopted")
        # Version 0.1.0 gave caches that were taken unchecked to the graph that took them.
        unchecked = said is None or (adopted is not None and adopted["checked"] == 0)
        computed = [
            Computed(one["graph"], Identity(**one["identity"]), one["images"])
            for one in content.get("computed", ())
        ]
        if content["format"] != _FORMAT or not isinstance(depth, int):
            raise ValueError
        identity = None if unchecked else Identity(**said)
        told = content.get("difference")
        difference = None if told is None else Difference(**told)
        graph = str(content.get("graph"))
        return Manifest(identity, depth, graph, adopted, tuple(computed), difference)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a manifest of this version. If the bottlenecks beside it are good, "
            "remove it: they will be checked and adopted."
        ) from error


def write_manifest(folder: Path, suffix: str, manifest: Manifest) -> None:
    """Write the manifest of a naming in one step."""
    content = {"format": _FORMAT, **dataclasses.asdict(manifest), "retrain_tools": __version__}
    if manifest.identity is None:
        content = {"note": _UNCHECKED, **content}
    files.write_text(manifest_path(folder, suffix), json.dumps(content, indent=2) + "\n")


def note_difference(folder: Path, suffix: str, difference: Difference) -> None:
    """Add it to the manifest of a naming, unless that has one of more images."""
    now = read_manifest(folder, suffix)  # another run may have written meanwhile
    if now is not None:
        difference = of_more_images(now.difference, difference)
        write_manifest(folder, suffix, dataclasses.replace(now, difference=difference))


def refuse_another(manifest: Manifest | None, folder: Path, suffix: str, wanted: Identity) -> None:
    """Raise InputError if a cache was made in another way than `wanted`; not if nobody knows."""
    made = None if manifest is None else manifest.identity
    if manifest is None or made is None or made == wanted:
        return
    path = manifest_path(folder, suffix)
    raise InputError(
        f"The bottlenecks in {folder} were made by another graph or in another way "
        f"({manifest.graph}; {path.name}): {differences(made, wanted)}. "
        f"Use another {argument('bottleneck_dir')} or another {argument('bottleneck_suffix')}. If "
        f"they are of this graph after all, remove {path}: some of them will be computed again and "
        "compared before they are used."
    )


def differences(there: Identity, now: Identity) -> str:
    """Say in what two identities differ: each attribute, as it is there and now."""
    return "; ".join(
        f"{name} {_short(getattr(there, name))} there, {_short(getattr(now, name))} now"
        for name in there.differing(now)
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:12]}…" if len(text) == 64 else text
