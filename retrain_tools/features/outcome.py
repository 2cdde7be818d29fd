"""What became of the images of a long job: computing them, the list of failures, closing line."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.images.decode import ImageError

log = logging.getLogger(__name__)

OnError = Literal["skip", "fail"]
"""Whether an image that cannot be used is left out, or ends the job with an InputError."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the images.

    Attributes:
        computed: images whose values were not there.
        reused: images whose values were there already.
        repaired: images whose stored values were damaged; None where that is not told apart.
        failed: why an image cannot be used, by its path.
        seconds: time spent computing.
    """

    computed: int = 0
    reused: int = 0
    repaired: int | None = None
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def closing_line(self, place: object) -> str:
        """Return the counts, the speed and where the values are, for people."""
        counts = [f"{self.computed} computed", f"{self.reused} reused"]
        if self.repaired is not None:
            counts.append(f"{self.repaired} repaired")
        counts.append(f"{len(self.failed)} failed")
        made = self.computed + (self.repaired or 0)
        speed = f" ({made / self.seconds:.1f} images/s)" if made and self.seconds else ""
        return f"{', '.join(counts)}{speed}: {place}"


def compute(
    extractor: Extractor,
    paths: list[str],
    keep: Callable[[str, list[Vector]], None],
    on_error: OnError,
) -> Outcome:
    """Compute the values of image files.

    The path and values of each good image go to `keep`, in their order, in the calling thread; it
    may raise ImageError, too.

    Raises:
        InputError: an image cannot be used, and `on_error` is `fail`.
    """
    computed, failed = 0, dict[str, str]()
    start = time.monotonic()
    try:
        for path, result in extractor.extract(paths) if paths else ():
            try:
                if isinstance(result, ImageError):
                    raise result
                keep(path, result)
                computed += 1
            except ImageError as error:
                if on_error == "fail":
                    raise InputError(f"{path} {error}.") from error
                failed[path] = str(error)
    except KeyboardInterrupt:
        log.info("stopped after %d of %d images; run again to go on", computed, len(paths))
        raise
    return Outcome(computed=computed, failed=failed, seconds=time.monotonic() - start)


def report_failures(failed: Mapping[str, str], count: int, path: Path) -> None:
    """Name the images that failed on stderr and in a CSV file; an earlier list is replaced.

    Raises:
        InputError: all the images, of which there are `count`, failed.
    """
    if not failed:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "reason"])
    for image, reason in sorted(failed.items()):
        writer.writerow([image, reason])
        log.warning("%s %s", image, reason)
    files.write_text(path, text.getvalue())
    if len(failed) == count:
        raise InputError(f"None of the {count} images can be used; the reasons are in {path}.")
