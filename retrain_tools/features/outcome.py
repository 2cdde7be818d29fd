"""What became of the images of a long job: computing them, the list of failures, closing line."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Result, Vector
from retrain_tools.images.decode import ImageError

log = logging.getLogger(__name__)

_RESULTS_WAITING = 8  # for the disk; those of maps are large

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

    The path and values of each good image go to `keep`, in their order, one at a time, in another
    thread, so that writing them does not hold up computing; it may raise ImageError, too. Whatever
    ends the job, what is computed by then is kept first.

    Raises:
        InputError: an image cannot be used, and `on_error` is `fail`.
    """
    start = time.monotonic()
    if not paths:
        return Outcome()
    keeper = _Keeper(keep, on_error)
    try:
        try:
            for path, result in extractor.extract(paths):
                keeper.put(path, result)
        finally:
            keeper.finish()
        keeper.check()
    except KeyboardInterrupt:
        log.info("stopped after %d of %d images; run again to go on", keeper.kept, len(paths))
        raise
    seconds = time.monotonic() - start
    return Outcome(computed=keeper.kept, failed=keeper.failed, seconds=seconds)


class _Keeper:
    """A thread that keeps results, in the order in which it gets them.

    Attributes:
        kept: how many images were kept.
        failed: why others were not, by path.
    """

    def __init__(self, keep: Callable[[str, list[Vector]], None], on_error: OnError) -> None:
        self.kept, self.failed = 0, dict[str, str]()
        self._keep, self._on_error = keep, on_error
        self._stopped_by: BaseException | None = None
        self._waiting: queue.Queue[tuple[str, Result] | None] = queue.Queue(_RESULTS_WAITING)
        # A daemon: who presses Ctrl-C once more does not wait for the disk.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def put(self, path: str, result: Result) -> None:
        """Let the result of an image be kept; raise what stopped the keeping of an earlier one."""
        self._waiting.put((path, result))
        self.check()

    def check(self) -> None:
        """Raise what stopped the keeping."""
        if self._stopped_by is not None:
            raise self._stopped_by

    def finish(self) -> None:
        """Wait until all is kept, or nothing more can be."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (pair := self._waiting.get()) is not None:
            if self._stopped_by is None:
                try:
                    self._keep_one(*pair)
                except BaseException as error:
                    self._stopped_by = error  # raised where it is waited for

    def _keep_one(self, path: str, result: Result) -> None:
        try:
            if isinstance(result, ImageError):
                raise result
            self._keep(path, result)
            self.kept += 1
        except ImageError as error:
            if self._on_error == "fail":
                raise InputError(f"{path} {error}.") from error
            self.failed[path] = str(error)


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
