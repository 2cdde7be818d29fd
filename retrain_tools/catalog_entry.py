"""One graph or checkpoint of the catalogue, and reading it from its TOML file."""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError


@dataclass(frozen=True)
class Member:
    """A file inside an archive; `bytes` and `sha256` are None where nobody published them."""

    path: str
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Published:
    """What the catalogue knows of anything that was published: where its archive is."""

    name: str
    description: str
    url: str
    archive: str
    archive_bytes: int | None
    archive_sha256: str | None
    aliases: tuple[str, ...]

    @property
    def file(self) -> Member:
        """The file that its name stands for: the archive itself, unless something is in it."""
        return Member(self.archive, self.archive_bytes, self.archive_sha256)


@dataclass(frozen=True)
class CatalogEntry(Published):
    """A published graph.

    Its image input is `pixel_input` = (pixels - mean) / std with pixels in 0..255, float32
    [batch, height, width, 3]; `image_size` is (height, width). `encoded_input` takes the bytes of
    one JPEG file and is None if the graph has no decoder. `bottleneck` holds `depth` floats per
    image; `pooling` says how to get them from a 4-D tensor and is None for a 2-D one. `final`
    holds the scores of the published classes; `imagenet_scores` is their number where the classes
    are those of ImageNet 2012, and None where they are not.
    """

    graph: Member
    labels: tuple[Member, ...]
    encoded_input: str | None
    pixel_input: str
    image_size: tuple[int, int]
    mean: float
    std: float
    bottleneck: str
    depth: int
    pooling: str | None
    final: str | None
    imagenet_scores: int | None

    @property
    def file(self) -> Member:
        """The graph in the archive."""
        return self.graph


@dataclass(frozen=True)
class CheckpointEntry(Published):
    """A published checkpoint of slim.

    `network` is its name in `slim.networks`, `width` the factor on its channels (MobileNet's α),
    `image_size` the side of the images it was trained for. `bottleneck` is an end point with
    `depth` floats per image. `top_1` and `top_5` are the published accuracies on ImageNet's
    validation images, in percent.
    """

    network: str
    width: float
    image_size: int
    num_classes: int
    bottleneck: str
    depth: int
    top_1: float
    top_5: float


def stays_inside(path: str) -> bool:
    """Tell whether a path inside an archive is relative, without drive letter or `..`."""
    parts = re.split(r"[/\\]", path)
    return parts[0] != "" and ":" not in parts[0] and ".." not in parts


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0  # `isinstance` would let true pass


def _is_list_of(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _is_text(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


_Take = Callable[..., Any]
_KINDS: dict[str, Callable[[Any], bool]] = {
    "a string": lambda v: isinstance(v, str),
    "a list of strings": lambda v: _is_list_of(str, v),
    "a list of tables": lambda v: _is_list_of(dict, v),
    "a number": lambda v: type(v) in (int, float),
    "a positive number": lambda v: type(v) in (int, float) and v > 0,
    "a positive integer": _is_size,
    "[height, width]": lambda v: _is_list_of(int, v) and len(v) == 2 and all(map(_is_size, v)),
    "an http or https address": lambda v: _is_text(r"https?://\S+", v),
    "a file name": lambda v: _is_text(r"\w[\w.+-]*", v),
    "a path inside the archive": lambda v: isinstance(v, str) and stays_inside(v),
    "64 lower-case hexadecimal digits": lambda v: _is_text("[0-9a-f]{64}", v),
    "a tensor name such as 'Mul:0'": lambda v: _is_text(r"[A-Za-z0-9.][\w.\-/>]*:\d+", v),
    "'avg', 'max' or 'flatten'": lambda v: v in ("avg", "max", "flatten"),
    "1000, 1001 or 1008": lambda v: type(v) is int and v in (1000, 1001, 1008),
}


def read_entry(file: Path) -> CatalogEntry:
    """Return the graph that a file of the catalogue describes; its name is the file's stem.

    Raises:
        InputError: the file is no TOML, or a key is missing, unknown or has a wrong value.
    """
    tensor = "a tensor name such as 'Mul:0'"
    with _taking(file, _read_table(file)) as take:
        return CatalogEntry(
            **_published(file, take),
            graph=_member(take, "graph"),
            labels=tuple(_label(file, label) for label in take("labels", "a list of tables", [])),
            encoded_input=take("input.encoded", tensor, None),
            pixel_input=take("input.pixel", tensor),
            image_size=tuple(take("input.image_size", "[height, width]")),
            mean=float(take("input.mean", "a number")),
            std=float(take("input.std", "a positive number")),
            bottleneck=take("output.bottleneck", tensor),
            depth=take("output.depth", "a positive integer"),
            pooling=take("output.pooling", "'avg', 'max' or 'flatten'", None),
            final=take("output.final", tensor, None),
            imagenet_scores=take("output.imagenet_scores", "1000, 1001 or 1008", None),
        )


def read_checkpoint_entry(file: Path) -> CheckpointEntry:
    """Return the checkpoint that a file of the catalogue describes; see `read_entry`."""
    with _taking(file, _read_table(file)) as take:
        return CheckpointEntry(
            **_published(file, take),
            network=take("network.name", "a string"),
            width=float(take("network.width", "a positive number", 1.0)),
            image_size=take("network.image_size", "a positive integer"),
            num_classes=take("network.classes", "a positive integer"),
            bottleneck=take("bottleneck.end_point", "a string"),
            depth=take("bottleneck.depth", "a positive integer"),
            top_1=float(take("accuracy.top_1", "a positive number")),
            top_5=float(take("accuracy.top_5", "a positive number")),
        )


def _read_table(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no TOML, no UTF-8, or a number with more digits than Python reads
        raise InputError(f"{file} is not a TOML file: {error}") from error
    except RecursionError:  # without its thousand lines
        raise InputError(f"{file} is nested more deeply than an entry can be.") from None


def _published(file: Path, take: _Take) -> dict[str, Any]:
    return {
        "name": file.stem,
        "description": take("description", "a string"),
        "aliases": tuple(take("aliases", "a list of strings", [])),
        "url": take("archive.url", "an http or https address"),
        "archive": take("archive.name", "a file name"),
        "archive_bytes": take("archive.bytes", "a positive integer", None),
        "archive_sha256": take("archive.sha256", "64 lower-case hexadecimal digits", None),
    }


def _label(file: Path, table: dict[str, Any]) -> Member:
    with _taking(file, {"labels": table}) as take:
        return _member(take, "labels")


def _member(take: _Take, section: str) -> Member:
    return Member(
        path=take(f"{section}.path", "a path inside the archive"),
        bytes=take(f"{section}.bytes", "a positive integer", None),
        sha256=take(f"{section}.sha256", "64 lower-case hexadecimal digits", None),
    )


@contextlib.contextmanager
def _taking(file: Path, table: dict[str, Any]) -> Iterator[_Take]:
    """Yield `_take` for a table, and refuse what the block has not taken: unknown keys."""
    yield functools.partial(_take, file, table)
    for section, rest in table.items():
        if not isinstance(rest, dict):
            raise InputError(f"{file}: unknown key '{section}'.")
        for key in rest:
            raise InputError(f"{file}: unknown key '{section}.{key}'.")


def _take(file: Path, table: dict[str, Any], key: str, kind: str, default: Any = ...) -> Any:
    """Remove the value of `key` from the table, and return it; `kind` is a key of `_KINDS`."""
    section, _, name = key.rpartition(".")
    values = table.get(section, {}) if section else table
    if not isinstance(values, dict):
        raise InputError(f"{file}: '{section}' must be a table, not {values!r}.")
    value = values.pop(name, default)
    if value is ...:
        raise InputError(f"{file}: the key '{key}' is missing; it must be {kind}.")
    if value is not default and not _KINDS[kind](value):
        raise InputError(f"{file}: '{key}' must be {kind}, not {value!r}.")
    return value
