"""What became of the images of a long job: computing them, the list of failures, closing line."""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Result, Vector
from retrain_tools.features.failures import Budget, Failure
from retrain_tools.images.decode import ImageError
from retrain_tools.text_tables import counted

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

    def figures(self) -> dict[str, Any]:
        """Return the counts and the seconds, for `--log_json`."""
        counts = {"computed": self.computed, "reused": self.reused}
        if self.repaired is not None:
            counts["repaired"] = self.repaired
        return {**counts, "seconds": round(self.seconds, 3)}

    def closing_line(self, place: object) -> str:
        """Return the counts, the speed and where the values are, for people."""
        counts = {"computed": self.computed, "reused": self.reused}
        if self.repaired is not None:
            counts["repaired"] = self.repaired
        counts["failed"] = len(self.failed)
        made = self.computed + (self.repaired or 0)
        return closing_line(counts, made, self.seconds, place)


def closing_line(counts: Mapping[str, int], made: int, seconds: float, place: object) -> str:
    """Return counts by their names, how fast `made` images were, and a place, for people."""
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    speed = f" ({made / seconds:.1f} images/s)" if made and seconds else ""
    return f"{said}{speed}: {place}"


def compute(
    extractor: Extractor,
    paths: list[str],
    keep: Callable[[str, list[Vector]], None],
    on_error: OnError,
    budget: Budget | None = None,
) -> Outcome:
    """Compute the values of image files.

    The path and values of each good image go to `keep`, in their order, one at a time, in another
    thread, so that writing them does not hold up computing; it may raise ImageError, too. Whatever
    ends the job, what is computed by then is kept first. Images that failed for a reason that may
    pass are tried once more at the end.

    Raises:
        InputError: an image cannot be used, and `on_error` is `fail`; or more cannot than the
            `budget` allows.
    """
    start = time.monotonic()
    if not paths:
        return Outcome()
    keeper = _Keeper(keep, on_error, budget)
    try:
        try:
            for path, result in extractor.extract(paths):
                keeper.put(path, result)
            keeper.settle()
            if again := [path for path, why in keeper.failed.items() if why.may_pass]:
                log.info("tried again: %s", counted(len(again), "image"))
                for path, result in extractor.extract(again):
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

    def __init__(
        self,
        keep: Callable[[str, list[Vector]], None],
        on_error: OnError,
        budget: Budget | None,
    ) -> None:
        self.kept, self.failed = 0, dict[str, Failure]()
        self._keep, self._on_error, self._budget = keep, on_error, budget
        self._tries_again = True
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

    def settle(self) -> None:
        """Wait until all that was put is kept; what fails from now on is not tried again."""
        self._waiting.join()
        self._tries_again = False
        self.check()

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
            self._waiting.task_done()

    def _keep_one(self, path: str, result: Result) -> None:
        try:
            if isinstance(result, ImageError):
                raise result
            self._keep(path, result)
            self.kept += 1
            self.failed.pop(path, None)
        except ImageError as error:
            if self._on_error == "fail":
                raise InputError(f"{path} {error}.") from error
            self.failed[path] = Failure.of(error)
            if self._budget is not None:
                self._budget.check(self.failed, self._tries_again)
