"""Images that cannot be used: why, of what kind, how many of them a job bears, and their list."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.images.decode import FailureKind, ImageError

log = logging.getLogger(__name__)

MAY_PASS: tuple[FailureKind, ...] = ("reading", "memory", "worker")
"""The kinds of failures that may pass."""

_BUDGET = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%", re.ASCII)


class Failure(str):
    """Why an image cannot be used: a clause about it.

    Attributes:
        kind: what failed: the `image` itself, `reading` it, `memory`, or the `worker` process.
    """

    kind: FailureKind = "image"

    @classmethod
    def of(cls, error: ImageError) -> Failure:
        """Return the failure that an error tells of."""
        failure = cls(error)
        failure.kind = error.kind
        return failure

    @property
    def may_pass(self) -> bool:
        """Whether the same image may be usable a little later."""
        return self.kind in MAY_PASS


class Budget(NamedTuple):
    """How many images may fail, and where they are listed when more do.

    Attributes:
        most: of them; None bears any number.
        images: how many there are.
        said: what the user asked for.
        path: the list of failures, or of many lists a pattern.
    """

    most: float | None
    images: int
    said: str
    path: str | Path

    @classmethod
    def of(cls, said: str | int | None, count: int, path: str | Path) -> Budget:
        """Return the budget for `count` images that `max_failures` says: a number or `P%`.

        Raises:
            InputError: it is neither.
        """
        if said is None:
            return cls(None, count, "", path)
        match = _BUDGET.fullmatch(str(said))
        if match is None:
            raise InputError(
                f"{argument('max_failures')}={said} is neither a number of images nor a "
                "percentage of them, as 20 or 1.5%."
            )
        most = float(match[1]) if match[1] else count * float(match[2]) / 100
        return cls(most, count, str(said), path)

    def check(self, all_failed: Mapping[str, Failure], tries_again: bool) -> None:
        """List the failures and raise InputError if there are more of them than may be.

        Where those that may pass are tried again, they do not count yet.
        """
        if self.most is None:
            return
        failed = {p: why for p, why in all_failed.items() if not (tries_again and why.may_pass)}
        if len(failed) > self.most:
            _list(failed, Path(self.path))
        self.refuse(len(failed))

    def refuse(self, failed: int) -> None:
        """Raise InputError if so many failures, which are listed already, are more than may be."""
        if self.most is not None and failed > self.most:
            raise InputError(
                f"{failed} of {self.images} images cannot be used, more than "
                f"{argument('max_failures')}={self.said} allows; the reasons are in {self.path}."
            )


def report_failures(failed: Mapping[str, str], count: int, path: str | Path) -> None:
    """Name the images that failed on stderr and in a CSV file; an earlier list is replaced.

    Raises:
        InputError: all the images, of which there are `count`, failed.
    """
    path = Path(path)
    if not failed:
        path.unlink(missing_ok=True)
        return
    _list(failed, path)
    if len(failed) == count:
        raise InputError(f"None of the {count} images can be used; the reasons are in {path}.")


def check_max_failures(said: str | int | None) -> None:
    """Raise InputError if `max_failures` is neither a number nor a percentage."""
    Budget.of(said, 0, Path())


def _list(failed: Mapping[str, str], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "reason", "kind"])
    for image, reason in sorted(failed.items()):
        writer.writerow([image, reason, getattr(reason, "kind", Failure.kind)])
        log.warning("%s %s", image, reason)
    files.write_text(path, text.getvalue())
