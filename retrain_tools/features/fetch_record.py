"""OUTPUT.json beside a file of features: what its values depend on, and whose rows they are."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from retrain_tools import __version__, files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.faithfulness import Difference
from retrain_tools.features.rows import Source
from retrain_tools.features.stores import Column, store_format

_FORMAT = 1
_IMAGES_BEGIN = ' "images": [\n'
_LONGEST_NAME = 255  # bytes


class Record(NamedTuple):
    """What is known of a file of features.

    Attributes:
        identities: how each tensor was made, by its name in the file.
        columns: the tensors.
        sources: the images of the rows.
        differences: from the exact way, of tensors that were computed in another; for people.
    """

    identities: dict[str, Identity]
    columns: list[Column]
    sources: list[Source]
    differences: Mapping[str, Difference] = MappingProxyType({})


def write_record(output: Path, record: Record, graph: str) -> None:
    """Write the record of an output that is there, and by which graph file, for people to read."""
    tensors = {
        name: {"shape": shape, **dataclasses.asdict(record.identities[name])}
        for name, shape in record.columns
    }
    content = {
        "format": _FORMAT,
        "graph": graph,
        "retrain_tools": __version__,
        "tensors": tensors,
        "files": [
            json.loads(_as_it_is(path).as_json())
            for path in store_format(output).files(output, record.columns)
        ],
    }
    if record.differences:
        found = record.differences.items()
        content["differences"] = {name: dataclasses.asdict(one) for name, one in found}
    # A line for each image, not one for each of its numbers.
    images = ",\n".join(source.as_json() for source in record.sources)
    head = json.dumps(content, indent=1).removesuffix("\n}")
    files.write_text(f"{output}.json", f"{head},\n{_IMAGES_BEGIN}{images}\n ]\n}}\n")


class MadeBy(NamedTuple):
    """What a record says of a file of features, but for its images.

    Attributes:
        graph: the graph's file, for people to read.
        identities: how each tensor was made, by its name in the file.
        columns: the tensors.
    """

    graph: str
    identities: dict[str, Identity]
    columns: list[Column]


def read_made_by(output: Path) -> MadeBy | None:
    """Return what the record of a file of features says; None where there is none, or another's.

    The list of its images, which may be longer than memory, is not read.

    Raises:
        InputError: the files are not those of the record.
    """
    try:
        content = json.loads(_without_images(Path(f"{output}.json")))
        if content["format"] != _FORMAT:
            return None
        columns = [Column(name, tuple(t.pop("shape"))) for name, t in content["tensors"].items()]
        identities = {name: Identity(**tensor) for name, tensor in content["tensors"].items()}
        made = [Source(*file) for file in content["files"]]
        graph = str(content["graph"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    for file in made:
        found = Source.of(str(output.parent / file.path))
        if found.bytes != file.bytes:  # the time is another where it was copied
            raise InputError(
                f"{output.parent / file.path} has {found.bytes:,} bytes, and {output}.json says "
                f"{file.bytes:,}: it was changed since it was written. Fetch it again, or remove "
                "the record if it is what it should be."
            )
    return MadeBy(graph, identities, columns)


def _without_images(path: Path) -> str:
    """Return the text of a record with an empty list of images, where it is laid out as ours."""
    lines = list[str]()
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line == _IMAGES_BEGIN:
                return "".join([*lines, ' "images": []}'])
            lines.append(line)
    return "".join(lines)


def read_record(
    output: Path, wanted: Mapping[str, Identity], overwrite: bool = False
) -> Record | None:
    """Return the record of an output that was made as `wanted` says; None if there is no output.

    With `overwrite`, an output that was made in another way counts as none.

    Raises:
        InputError: it was made in another way, by another program, or changed since.
    """
    try:
        content = files.json_of(files.read_regular(f"{output}.json"))
        if content["format"] != _FORMAT:
            raise ValueError
        columns = [Column(name, tuple(t.pop("shape"))) for name, t in content["tensors"].items()]
        identities = {name: Identity(**tensor) for name, tensor in content["tensors"].items()}
        sources = [Source(*source) for source in content["images"]]
        told = content.get("differences", {})
        differences = {name: Difference(**one) for name, one in told.items()}
        made = [Source(*file) for file in content["files"]]
        paths = [output.parent / _name_of(file) for file in made]
    except FileNotFoundError:
        paths, difference = [], "has no record of how it was made"
    except (ValueError, KeyError, TypeError, AttributeError):
        paths, difference = [], "has a record that cannot be read"
    else:
        difference = _difference(identities, wanted, content.get("graph"))
        if not difference and made != [_as_it_is(path) for path in paths]:
            difference = "was changed since it was written"
    paths += store_format(output).files(output, [Column(name, ()) for name in wanted])
    if (overwrite and difference) or not any(path.exists() for path in paths):
        return None
    if difference:
        raise InputError(
            f"{output} {difference}. Choose another {argument('output')}, or replace it with "
            f"{argument('overwrite')}."
        )
    return Record(identities, columns, sources, differences)


def _name_of(file: Source) -> str:
    """Return the name of a file of the output; a record that has anything else there is none."""
    name = file.path
    is_plain = name not in ("", ".", "..") and "\0" not in name and Path(name).name == name
    if not is_plain or len(os.fsencode(name)) > _LONGEST_NAME:
        raise ValueError(f"{name!r} is no name of a file")
    return name


def _as_it_is(path: Path) -> Source:
    """Look at a file of the output; its folder may be moved, or called by another name."""
    return dataclasses.replace(Source.of(str(path)), path=path.name)


def _difference(
    found: Mapping[str, Identity], wanted: Mapping[str, Identity], graph: object
) -> str:
    if list(found) != list(wanted):
        return f"holds {', '.join(found)}, not {', '.join(wanted)}"
    for name, identity in wanted.items():
        if other := found[name].differing(identity):
            how = f"by another graph ({graph})" if "fingerprint" in other else "in another way"
            return f"was made {how}: {name!r} differs in {' and '.join(other)}"
    return ""
