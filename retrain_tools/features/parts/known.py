"""What the finished part of a shard tells of images, to be taken over where they are the same."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from retrain_tools import storage
from retrain_tools.features.failures import Failure
from retrain_tools.features.parts import layout
from retrain_tools.features.parts.job import Job
from retrain_tools.features.parts.layout import Entry, PartRecord
from retrain_tools.features.parts.tables import read_failures, read_list, read_part
from retrain_tools.features.stores.table import DAMAGE, Column, Rows, as_utf8
from retrain_tools.uris import join

log = logging.getLogger(__name__)

Key = tuple[str, int | None, str | None]


class Known(NamedTuple):
    """Rows and failures of images, by how they were when they were looked at.

    Attributes:
        columns: the tensors.
        values: of each, float32 [N, *shape].
        places: of the images that have a row, in `values`.
        failed: why others have none, of those that need not be tried again.
        named: all images, as they are named there.
    """

    columns: Sequence[Column]
    values: Sequence[Rows]
    places: Mapping[Key, int]
    failed: Mapping[Key, Failure]
    named: frozenset[str]

    @staticmethod
    def key(entry: Entry) -> Key:
        """Return an image's key: file names that are no UTF-8 are spelled out in Parquet."""
        return as_utf8([entry.uri])[0], entry.size, entry.version

    def holds(self, entry: Entry) -> bool:
        """Tell whether a row is known of an image, or a failure."""
        key = self.key(entry)
        return key in self.places or key in self.failed

    def rows(self, entry: Entry) -> list[Rows]:
        """Return the row of an image for each tensor; of one that has none, nothing."""
        place = self.places.get(self.key(entry))
        return [] if place is None else [value[place] for value in self.values]

    def names_any_of(self, entries: Sequence[Entry]) -> bool:
        """Tell whether one of these images is named there, be it the same or not."""
        return any(self.key(entry)[0] in self.named for entry in entries)


NOTHING = Known((), (), {}, {}, frozenset())


def known_of(job: Job, number: int, record: PartRecord) -> Known:
    """Read what a finished part tells; one that is not as it was written tells nothing."""

    def read(name: str) -> bytes:
        return storage.read(join(job.output, name), None)

    name = layout.part_name(number)
    try:
        data = read(name)
        listed = read_list(read(layout.list_name(number)))
        if layout.sha256(data) != record.sha256 or len(listed) != _count(record):
            raise ValueError("it was changed since it was written")
        table = read_part(data)
        failures = read_failures(read(layout.failures_name(number))) if record.failed else []
        rows = {image: place for place, image in enumerate(table.images)}
        stays = {uri: why for uri, why in failures if not _tried_again(why, record, job)}
        places = {one.same: rows[one.uri] for one in listed if one.uri in rows}
        failed = {one.same: stays[one.uri] for one in listed if one.uri in stays}
        named = frozenset(one.uri for one in listed)
        return Known(table.columns, table.values, places, failed, named)
    except DAMAGE as error:
        log.warning("%s is not used (%s); its images are computed again", name, error)
        return NOTHING


def _count(record: PartRecord) -> int:
    return record.rows + sum(record.failed.values())


def _tried_again(why: Failure, record: PartRecord, job: Job) -> bool:
    if why.kind == "image":
        return job.running.max_image_pixels != record.max_image_pixels
    return job.retry_failed
