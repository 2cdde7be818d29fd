"""What lies where in an output of many parts, and PART.json, by which alone a part counts.

manifest.json                   how all of it was made (`manifest`)
list/00000.parquet              the images of a shard: uri, size, version, label
part-00000.parquet              image, label, and a column of lists for each tensor
part-00000.failures.parquet     uri, reason, kind: of the images that have no row, if any
part-00000.json                 written last, and taken away before its part is written anew
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from retrain_tools import storage
from retrain_tools.features.failures import MAY_PASS
from retrain_tools.uris import join

MANIFEST = "manifest.json"
PARTS = "part-*[0-9].parquet"
"""A pattern that fits the parts alone."""
FAILURES = "part-*.failures.parquet"
"""A pattern that fits the lists of failures."""

_FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An image of the list.

    Attributes:
        uri: the path or URI, as the list names it.
        label: of the image; '' without one.
        size: bytes that it has; None for one that is not there, or was not looked at.
        version: its etag or generation, or when it was written; None for the same.
    """

    uri: str
    label: str = ""
    size: int | None = None
    version: str | None = None

    @property
    def same(self) -> tuple[str, int | None, str | None]:
        """What is equal where the image is still the same."""
        return self.uri, self.size, self.version


@dataclasses.dataclass(frozen=True)
class PartRecord:
    """What is known of a part that is finished.

    Attributes:
        identity: of the manifest that it was made under.
        list: the digest of the shard's list, see `digest_of`.
        rows: how many images have a row.
        failed: how many have none, by the kind of failure.
        sha256: of the part's file.
        rows_sha256: of what the rows hold, whatever wrote the file.
        bytes: of the part's file.
        seconds: that it took.
        host: that made it.
        max_image_pixels: larger images failed.
        differences: from the exact way, by tensor, where values were computed in another.
    """

    identity: str
    list: str
    rows: int
    failed: Mapping[str, int]
    sha256: str
    rows_sha256: str
    bytes: int
    seconds: float
    host: str
    max_image_pixels: int
    differences: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def is_worth_another_try(self, retry_failed: bool, max_image_pixels: int) -> bool:
        """Tell whether an image failed that may be usable now."""
        kinds = MAY_PASS if retry_failed else ()
        kinds += () if max_image_pixels == self.max_image_pixels else ("image",)
        return any(self.failed.get(kind) for kind in kinds)


def part_name(number: int) -> str:
    """Return the file name of a shard's part."""
    return f"part-{number:05d}.parquet"


def failures_name(number: int) -> str:
    """Return the file name of a shard's list of failures."""
    return f"part-{number:05d}.failures.parquet"


def record_name(number: int) -> str:
    """Return the file name of what makes a part count."""
    return f"part-{number:05d}.json"


def list_name(number: int) -> str:
    """Return the name, below the output, of a shard's list."""
    return f"list/{number:05d}.parquet"


def sha256(data: bytes) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(data).hexdigest()


def digest_of(entries: Iterable[Entry]) -> str:
    """Return the SHA-256 of a shard's list: its images as they were, and their labels, in order."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps([*entry.same, entry.label]).encode() + b"\n")
    return digest.hexdigest()


def read_record(output: str, number: int) -> PartRecord | None:
    """Return what is known of a finished part, None where the shard is not finished.

    One whose part is not there, or has another size, is not finished.
    """
    try:
        told = json.loads(storage.read(join(output, record_name(number)), None))
        if told.pop("format") != _FORMAT:
            return None
        record = PartRecord(**told)
        found = storage.stat(join(output, part_name(number)))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if found.size == record.bytes else None


def write_record(output: str, number: int, record: PartRecord) -> None:
    """Let a part, which is there, count."""
    text = json.dumps({"format": _FORMAT, **dataclasses.asdict(record)}, indent=1) + "\n"
    storage.write(join(output, record_name(number)), text.encode())
