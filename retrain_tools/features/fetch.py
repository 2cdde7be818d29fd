"""Fetches tensors for images into one file of features; a stopped job goes on where it was."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from retrain_tools import files
from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.features.cache import Identity, fingerprint
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.features.fetch_record import Record, read_record, write_record
from retrain_tools.features.rows import Row, RowFiles, Source
from retrain_tools.features.stores import (
    DAMAGE,
    Column,
    Format,
    Rows,
    Table,
    check_names,
    check_paths,
    store_format,
)
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.graphdef.navigate import check_tensor, nodes_by_name
from retrain_tools.images.decode import MAX_PIXELS, ImageError
from retrain_tools.progress import progress

log = logging.getLogger(__name__)

# In the folder of an unfinished run: how its rows were made; and a sign that all are there, and the
# output and its record are being written.
_MADE_BY = "identity.json"
_WRITING = "writing"


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        output: the file of features; its suffix chooses the format.
        pooling: how values of rank above 2 become a vector; None to keep their shape.
        raw_pixels: feed pixels of 0 to 255, decoded and resized by Pillow, unscaled.
        overwrite: replace an output that was made in another way.
        max_pixels: largest image to accept.
    """

    output: str
    pooling: str | None = None
    raw_pixels: bool = False
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


@dataclasses.dataclass
class FetchReport:
    """What became of the images, and the shape of each tensor's values for one of them."""

    output: Path
    columns: list[Column]
    computed: int = 0
    reused: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> str:
        """One line for people."""
        counts = f"{self.computed} computed, {self.reused} reused, {len(self.failed)} failed"
        fast = self.computed and self.seconds
        speed = f" ({self.computed / self.seconds:.1f} images/s)" if fast else ""
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.columns)
        return f"{counts}{speed}: {self.output}: {shapes}"


def named_tensor(frozen: FrozenGraph, name: str) -> str:
    """Return the full tensor name of a tensor, node or end point.

    Raises:
        InputError: the graph has nothing of that name.
    """
    end_points = frozen.spec.end_points
    if name in end_points:
        return end_points[name]
    try:
        return check_tensor(name, nodes_by_name(frozen.graph_def), str(frozen.path))
    except InputError as error:
        if near := did_you_mean(name, end_points):
            raise InputError(f"No tensor or end point {name!r} in {frozen.path}.{near}") from error
        raise


def fetch_tensors(
    frozen: FrozenGraph, tensors: Mapping[str, str], paths: Sequence[str], options: FetchOptions
) -> FetchReport:
    """Write the values of tensors for images, in the order of `paths`.

    Beside the output stands OUTPUT.json: what the values depend on and which file each row is of,
    as it was then. By that a second run knows what it need not compute. While it works, OUTPUT.part
    holds what is done. Images that cannot be used are left out, and listed in
    OUTPUT.failures.csv.

    Args:
        frozen: the graph.
        tensors: full tensor names by the names that they get in the output.
        paths: image files; each counts once.
        options: where and how.

    Raises:
        InputError: see `stores`; a tensor is not computed from images; the output, or what an
            unfinished run left of one, was made in another way; or no image can be used.
    """
    output = Path(options.output)
    store = store_format(options.output)
    check_names(output, list(tensors))
    paths = list(dict.fromkeys(paths))
    check_paths(output, paths)
    identities = _identities(frozen, tensors, options)
    with _part(output) as part, contextlib.ExitStack() as stack:
        # An output that this very job was stopped at is ours, whatever its record says of it.
        ours = (part / _WRITING).exists() and _made_by(part) == _as_text(identities)
        old = read_record(output, identities, options.overwrite or ours)
        sources = [Source.of(path) for path in paths]
        if old is not None and old.sources == sources:
            if ours:
                _empty(part)
            report = FetchReport(output, old.columns, reused=len(sources))
            _report_failures(report, len(sources))
            return report
        extractor = stack.enter_context(
            Extractor(
                frozen,
                list(tensors.values()),
                options.pooling,
                options.max_pixels,
                options.raw_pixels,
            )
        )
        columns = list(map(Column, tensors, extractor.shapes))
        rows = _open_rows(part, identities, columns)
        stack.callback(rows.close)
        report = FetchReport(output, columns)
        known = set(old.sources) if old else set()
        new = [source for source in sources if source not in known]
        _compute(extractor, rows, new, report)
        same = old is not None and old.sources == [s for s in sources if s in known]
        if not same or any(source in rows for source in new):
            if old is not None and store.read:
                pieces = store.read(output, old.columns, len(old.sources))
                _take_over(rows, old, pieces, set(sources))
            rest = [source for source in sources if source.path not in report.failed]
            _compute(extractor, rows, rest, report)
            if any(source in rows for source in rest):
                (part / _WRITING).touch()
                _finish(frozen, identities, rows, rest, report, store)
        report.reused = len(sources) - report.computed - len(report.failed)
        rows.delete()
        _empty(part)
        _report_failures(report, len(sources))
    return report


@contextlib.contextmanager
def _part(output: Path) -> Iterator[Path]:
    """Hold the folder of the unfinished run, made if need be; it goes when it holds nothing."""
    part = Path(f"{output}.part")
    while True:
        part.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(part / "lock")
        try:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                log.info("waiting for another run that writes %s", output)
                lock.acquire()
            break
        except FileNotFoundError:
            continue  # that run has finished, and taken its folder away
    try:
        yield part
    finally:
        if not (part / _MADE_BY).exists():
            with contextlib.suppress(OSError):  # where another run comes in between
                (part / "lock").unlink()
                part.rmdir()
        lock.release()


def _empty(part: Path) -> None:
    """Remove what the folder of a run holds, last what says that the run had come to its end."""
    for path in sorted(part.iterdir(), key=lambda path: path.name in (_WRITING, _MADE_BY)):
        if path.name != "lock":
            path.unlink()


def _identities(
    frozen: FrozenGraph, tensors: Mapping[str, str], options: FetchOptions
) -> dict[str, Identity]:
    prepared = frozen.spec.preprocessing()
    if options.raw_pixels:
        size = list(frozen.spec.image_size)
        prepared = {"by": "Pillow", "to": frozen.spec.pixel_input, "image_size": size}
    return {
        name: Identity(fingerprint(frozen, tensor), tensor, options.pooling or "none", prepared)
        for name, tensor in tensors.items()
    }


def _as_text(identities: Mapping[str, Identity]) -> str:
    return json.dumps({name: dataclasses.asdict(i) for name, i in identities.items()}, indent=1)


def _made_by(part: Path) -> str | None:
    path = part / _MADE_BY
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _open_rows(part: Path, identities: Mapping[str, Identity], columns: list[Column]) -> RowFiles:
    """Open the rows of an unfinished run; those of a run with other tensors cannot be used."""
    text = _as_text(identities)
    if _made_by(part) not in (None, text):
        raise InputError(
            f"{part} holds what an unfinished run has fetched with other tensors, another graph or "
            "other settings. Finish that run, remove the folder, or choose another --output."
        )
    files.write_text(part / _MADE_BY, text)
    return RowFiles(part, [column.shape for column in columns])


def _take_over(
    rows: RowFiles, old: Record, pieces: Iterator[list[Rows]], wanted: set[Source]
) -> None:
    """Copy the rows of a finished run for images that are still the same."""
    waiting = iter(old.sources)
    try:
        for piece in pieces:
            for row in zip(*piece, strict=True):
                source = next(waiting)
                if source in wanted and source not in rows:
                    rows.append(source, list(row))
    except DAMAGE as error:
        log.warning("the output cannot be read (%s); its images are computed again", error)


def _compute(
    extractor: Extractor, rows: RowFiles, sources: Sequence[Source], report: FetchReport
) -> None:
    waiting = {source.path: source for source in sources if source not in rows}
    if not waiting:
        return
    one_at_a_time = threading.Lock()  # `keep` runs in the extractor's threads

    def keep(results: list[tuple[str, Result]]) -> None:
        with one_at_a_time:
            for path, result in results:
                if isinstance(result, ImageError):
                    report.failed[path] = str(result)
                elif other := _other_shape(report.columns, result):
                    report.failed[path] = other
                else:
                    rows.append(waiting[path], result)
                    report.computed += 1

    start = time.monotonic()
    try:
        with progress(len(waiting), "images") as advance:
            for count in extractor.map_batches(waiting, keep):
                advance(count)
    except KeyboardInterrupt:
        log.info("stopped after %d of %d images; run again to go on", report.computed, len(waiting))
        raise
    finally:
        report.seconds += time.monotonic() - start


def _other_shape(columns: Sequence[Column], row: Row) -> str:
    """Say what is of another shape than a row of the file, which would shift all after it."""
    for (name, shape), values in zip(columns, row, strict=True):
        if values.shape != shape:
            return f"gives values of shape {list(values.shape)} for {name!r}, not {list(shape)}"
    return ""


def _report_failures(report: FetchReport, count: int) -> None:
    """Name the failed images on stderr and beside the output; an earlier list is replaced."""
    path = Path(f"{report.output}.failures.csv")
    path.unlink(missing_ok=True)
    if not report.failed:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "reason"])
    for image, reason in sorted(report.failed.items()):
        writer.writerow([image, reason])
        log.warning("%s %s", image, reason)
    files.write_text(path, text.getvalue())
    if len(report.failed) == count:
        raise InputError(f"None of the {count} images can be used; the reasons are in {path}.")


def _finish(
    frozen: FrozenGraph,
    identities: Mapping[str, Identity],
    rows: RowFiles,
    sources: Sequence[Source],
    report: FetchReport,
    store: Format,
) -> None:
    """Write the output, in the order of the images, and its record."""
    done = [source for source in sources if source in rows]

    def values(column: int, start: int, stop: int) -> Rows:
        return rows.read(column, done[start:stop])

    store.write(report.output, Table([source.path for source in done], report.columns, values))
    write_record(report.output, Record(dict(identities), report.columns, done), str(frozen.path))
