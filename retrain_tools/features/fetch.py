"""Fetches tensors for images into one file of features; a stopped job goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from retrain_tools import files
from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.cache import Identity, fingerprint
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.features.fetch_record import Record, read_record, write_record
from retrain_tools.features.outcome import OnError, Outcome, compute, report_failures
from retrain_tools.features.rows import RowFiles, Source
from retrain_tools.features.stores import DAMAGE, Column, Table, check_contents, store_format
from retrain_tools.graphdef.navigate import check_made, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import MAX_PIXELS, ImageError

log = logging.getLogger(__name__)

# In the folder of an unfinished run: how its rows were made; and a sign that all are there, and the
# output and its record are being written.
_MADE_BY = "identity.json"
_WRITING = "writing"


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """How to fetch. The fields are called as the scripts' flags.

    Attributes:
        output: the file of features; its suffix chooses the format.
        pooling: how values of rank above 2 become a vector; None to keep their shape.
        overwrite: replace an output that was made in another way.
        on_error: what to do about an image that cannot be used.
        max_image_pixels: largest image to accept.
    """

    output: str
    pooling: str | None = None
    overwrite: bool = False
    on_error: OnError = "skip"
    max_image_pixels: int = MAX_PIXELS


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchedTensors(Outcome):
    """What became of the images, and the shape of each tensor's values for one of them."""

    output: Path
    columns: Sequence[Column]

    def summary(self) -> str:
        """One line for people."""
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.columns)
        return self.closing_line(f"{self.output}: {shapes}")


def check_options(options: FetchOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: the output has no known format, is a folder, or cannot be written.
    """
    store_format(options.output)
    files.check_file(options.output)


def named_tensor(frozen: FrozenGraph, name: str) -> str:
    """Return the full tensor name of a tensor, node or end point.

    Raises:
        InputError: the graph has nothing of that name.
    """
    end_points = frozen.spec.end_points
    if name in end_points:
        return end_points[name]
    try:
        return check_made(name, nodes_by_name(frozen.graph_def), str(frozen.path))
    except InputError as error:
        if near := did_you_mean(name, end_points):
            raise InputError(f"No tensor or end point {name!r} in {frozen.path}.{near}") from error
        raise


def fetch_tensors(
    frozen: FrozenGraph, tensors: Mapping[str, str], paths: Sequence[str], options: FetchOptions
) -> FetchedTensors:
    """Write the values of tensors for images, in the order of `paths`.

    Beside the output stands OUTPUT.json: what the values depend on and which file each row is of,
    as it was then. By that a second run knows what it need not compute. While it works, OUTPUT.part
    holds what is done. Images that cannot be used are left out, and listed in
    OUTPUT.failures.csv.

    The full names in `tensors` stand under the names that they get in the output. An image file
    counts once.

    Raises:
        InputError: see `check_options` and `stores`; a tensor is not computed from images; the
            output, or what an unfinished run left of one, was made in another way; no image can
            be used, or one cannot and `on_error` is `fail`.
    """
    check_options(options)
    output = Path(options.output)
    paths = list(dict.fromkeys(paths))
    check_contents(output, list(tensors), paths)
    identities = _identities(frozen, tensors, options)
    with _part(output) as part:
        # An output that this very job was stopped at is ours, whatever its record says of it.
        ours = (part / _WRITING).exists() and _made_by(part) == _as_text(identities)
        old = read_record(output, identities, options.overwrite or ours)
        sources = [Source.of(path) for path in paths]
        if old is not None and old.sources == sources:
            if ours:
                _empty(part)
            fetched = FetchedTensors(reused=len(sources), output=output, columns=old.columns)
        else:
            fetched = _fetch(frozen, identities, sources, options, old, part)
            _empty(part)
        report_failures(fetched.failed, len(sources), Path(f"{output}.failures.csv"))
    return fetched


def _fetch(
    frozen: FrozenGraph,
    identities: dict[str, Identity],
    sources: Sequence[Source],
    options: FetchOptions,
    old: Record | None,
    part: Path,
) -> FetchedTensors:
    """Compute what neither the earlier output nor the unfinished run has, and write all of it."""
    output = Path(options.output)
    with contextlib.ExitStack() as stack:
        tensors = [identity.tensor for identity in identities.values()]
        opened = Extractor(frozen, tensors, options.pooling, options.max_image_pixels)
        extractor = stack.enter_context(opened)
        columns = list(map(Column, identities, extractor.shapes))
        rows = _open_rows(part, identities, columns)
        stack.callback(rows.close)
        known = set(old.sources) if old else set()
        new = [source for source in sources if source not in known]
        first = _compute(extractor, rows, columns, new, options.on_error)
        again = Outcome()
        same = old is not None and old.sources == [s for s in sources if s in known]
        if not same or any(source in rows for source in new):
            if old is not None:
                _take_over(rows, old, output, set(sources))
            rest = [source for source in sources if source.path not in first.failed]
            again = _compute(extractor, rows, columns, rest, options.on_error)
            done = [source for source in rest if source in rows]
            if done:
                (part / _WRITING).touch()
                images = [source.path for source in done]
                table = Table(
                    images, columns, lambda i, start, stop: rows.read(i, done[start:stop])
                )
                store_format(output).write(output, table)
                write_record(output, Record(identities, columns, done), str(frozen.path))
        rows.delete()
    failed, computed = {**first.failed, **again.failed}, first.computed + again.computed
    return FetchedTensors(
        computed=computed,
        reused=len(sources) - computed - len(failed),
        failed=failed,
        seconds=first.seconds + again.seconds,
        output=output,
        columns=columns,
    )


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
            "other settings. Finish that run, remove the folder, or choose another "
            f"{argument('output')}."
        )
    files.write_text(part / _MADE_BY, text)
    return RowFiles(part, [column.shape for column in columns])


def _take_over(rows: RowFiles, old: Record, output: Path, wanted: set[Source]) -> None:
    """Copy the rows of a finished run for images that are still the same."""
    read = store_format(output).read
    if read is None:
        return
    waiting = iter(old.sources)
    try:
        for piece in read(output, old.columns, len(old.sources)):
            for row in zip(*piece, strict=True):
                source = next(waiting)
                if source in wanted and source not in rows:
                    rows.append(source, list(row))
    except DAMAGE as error:
        log.warning("the output cannot be read (%s); its images are computed again", error)


def _compute(
    extractor: Extractor,
    rows: RowFiles,
    columns: Sequence[Column],
    sources: Sequence[Source],
    on_error: OnError,
) -> Outcome:
    """Compute the rows that are not there."""
    waiting = {source.path: source for source in sources if source not in rows}

    def keep(path: str, values: list[Vector]) -> None:
        for (name, shape), value in zip(columns, values, strict=True):
            if value.shape != shape:  # which would shift all rows after it
                found = f"gives values of shape {list(value.shape)} for {name!r}"
                raise ImageError(f"{found}, not {list(shape)}")
        rows.append(waiting[path], values)

    return compute(extractor, list(waiting), keep, on_error)
