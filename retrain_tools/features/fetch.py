"""Fetches tensors for images into one file of features; a stopped job goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from retrain_tools import files
from retrain_tools.disk_space import needing
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features import unfinished
from retrain_tools.features.cache import Identity
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.features.failures import Budget, check_max_failures, report_failures
from retrain_tools.features.faithfulness import Difference, of_more_images
from retrain_tools.features.fetch_record import Record, read_record, write_record
from retrain_tools.features.outcome import OnError, Outcome, compute
from retrain_tools.features.rows import RowFiles, Source
from retrain_tools.features.stores import DAMAGE, Column, Table, check_contents, store_format
from retrain_tools.graphdef.fingerprint import fingerprint
from retrain_tools.graphdef.navigate import check_made, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError

log = logging.getLogger(__name__)

_NEVER_READ = "a pickle is a program, which is never read"


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """How to fetch. The fields are called as the scripts' flags.

    Attributes:
        output: the file of features; its suffix chooses the format.
        pooling: how values of rank above 2 become a vector; None to keep their shape.
        overwrite: replace an output that was made in another way, and drop rows of images that are
            not asked for.
        on_error: what to do about an image that cannot be used.
        max_failures: how many images may fail, or which part of them (`2%`), before the job ends.
        running: how the graph is run.
    """

    output: str
    pooling: str | None = None
    overwrite: bool = False
    on_error: OnError = "skip"
    max_failures: str | int | None = None
    running: RunSettings = DEFAULTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchedTensors(Outcome):
    """What became of the images.

    Attributes:
        kept: rows of other images that the output had.
        output: the file of features.
        columns: the tensors, and the shape of each one's values for one image.
    """

    kept: int = 0
    output: Path
    columns: Sequence[Column]

    def summary(self) -> str:
        """One line for people."""
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.columns)
        kept = f"; {self.kept} rows of other images kept" if self.kept else ""
        return self.closing_line(f"{self.output}: {shapes}{kept}")


def check_options(options: FetchOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: the output has no known format, is a folder, or cannot be written.
    """
    store_format(options.output)
    check_max_failures(options.max_failures)
    files.check_file(options.output)
    files.check_writable(unfinished.folder_of(options.output))


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


def named_tensors(frozen: FrozenGraph, names: Sequence[str] | None) -> dict[str, str]:
    """Return the full tensor names of several, by the names given; None is for the bottleneck.

    Raises:
        InputError: the graph has nothing of a name.
    """
    wanted = [name.strip() for name in names or [frozen.spec.bottleneck]]
    return {name: named_tensor(frozen, name) for name in wanted}


def fetch_tensors(
    frozen: FrozenGraph,
    tensors: Mapping[str, str],
    paths: Sequence[str],
    options: FetchOptions,
    labels: Mapping[str, str] | None = None,
) -> FetchedTensors:
    """Write the values of tensors for images, a row for each.

    An output that holds other images, too, keeps their rows: they stay where they are, and new ones
    come after them. Else the rows are in the order of `paths`. Images that cannot be used are left
    out, and listed in OUTPUT.failures.csv.

    Beside the output stands OUTPUT.json: what the values depend on and which file each row is of,
    as it was then. By that a second run knows what it need not compute. While it works, OUTPUT.part
    holds what is done; what a stopped run has left there goes into the output of the next.

    Args:
        frozen: the graph.
        tensors: full names, by the names that they get in the output.
        paths: image files; each counts once.
        options: where to, and how.
        labels: the labels of images, by their paths, where they have one.

    Raises:
        InputError: see `check_options` and `stores`; a tensor is not computed from images; the
            output, or what an unfinished run left of one, was made in another way; rows of other
            images cannot be kept; no image can be used, or one cannot and `on_error` is `fail`.
    """
    check_options(options)
    output = Path(options.output)
    paths = list(dict.fromkeys(paths))
    check_contents(output, list(tensors), paths)
    identities = identities_of(frozen, tensors, options.pooling, options.running)
    with unfinished.hold(output) as part:
        # An output that this very job was stopped at is ours, whatever its record says of it.
        ours = unfinished.was_writing(part, identities)
        old = read_record(output, identities, options.overwrite or ours)
        sources = [Source.of(path, (labels or {}).get(path, "")) for path in paths]
        there = old.sources if old else []
        if old is not None and not ours and _same(_rows_to_be(sources, there, options), there):
            reused, kept = len(sources), len(there) - len(sources)
            fetched = FetchedTensors(reused=reused, kept=kept, output=output, columns=old.columns)
        else:
            fetched = _fetch(frozen, identities, sources, options, old, part)
        report_failures(fetched.failed, len(sources), Path(f"{output}.failures.csv"))
    return fetched


def _rows_to_be(
    asked: Sequence[Source], there: Sequence[Source], options: FetchOptions
) -> list[Source]:
    """Return the rows that an output will have, in order, if every image can be used."""
    before = {source.path: source for source in there}
    now = {source.path: source for source in asked}
    for path in now.keys() & before.keys():
        if not now[path].label:
            now[path] = dataclasses.replace(now[path], label=before[path].label)
    if options.overwrite or before.keys() <= now.keys():
        return list(now.values())
    return list((before | now).values())


def _same(some: Sequence[Source], others: Sequence[Source]) -> bool:
    return [(one, one.label) for one in some] == [(one, one.label) for one in others]


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
    asked = {source.path for source in sources}
    there = old.sources if old else []
    with contextlib.ExitStack() as stack:
        tensors = [identity.tensor for identity in identities.values()]
        opened = Extractor(frozen, tensors, options.pooling, options.running)
        extractor = stack.enter_context(opened)
        columns = list(map(Column, identities, extractor.shapes))
        rows = unfinished.open_rows(part, identities, columns)
        stack.callback(unfinished.leave, part, rows)
        wanted = _rows_to_be(sources, [*there, *rows], options)
        others = [source for source in wanted if source.path not in asked]
        if store_format(output).read is None:
            _refuse_to_lose(output, [one for one in others if one not in rows], _NEVER_READ)
        known = set(there)
        new = [source for source in sources if source not in known]
        path = Path(f"{output}.failures.csv")
        budget = Budget.of(options.max_failures, len(sources), path)
        first = _compute(extractor, rows, columns, new, options, budget)
        again, done = Outcome(), list[Source]()
        target = [source for source in wanted if source in known or source in rows]
        if len(first.failed) < len(sources) and not _same(target, there):
            damage = _take_over(rows, old, output, set(target)) if old else None
            _refuse_to_lose(output, [one for one in others if one not in rows], damage)
            if damage:
                log.warning("the output cannot be read (%s); its images are computed again", damage)
            rest = [source for source in target if source.path in asked]
            again = _compute(extractor, rows, columns, rest, options, budget)
            done = [source for source in target if source in rows]
            if done:
                unfinished.mark_writing(part)
                _write(output, rows, columns, done)
                differences = _differences(old, identities, extractor)
                record = Record(identities, columns, done, differences)
                write_record(output, record, str(frozen.path))
        if done or known.issuperset(rows):  # else they are of a stopped run, and in no output yet
            rows.delete()
            unfinished.empty(part)
    failed, computed = {**first.failed, **again.failed}, first.computed + again.computed
    return FetchedTensors(
        computed=computed,
        reused=len(sources) - computed - len(failed),
        failed=failed,
        seconds=first.seconds + again.seconds,
        kept=len(others),
        output=output,
        columns=columns,
    )


def _differences(
    old: Record | None, identities: Mapping[str, Identity], extractor: Extractor
) -> dict[str, Difference]:
    """Return the differences from the exact way to record, by the names in the output."""
    known = dict(old.differences) if old else {}
    for name, identity in identities.items():
        if new := extractor.differences.get(identity.tensor):
            known[name] = of_more_images(known.get(name), new)
    return known


def _write(output: Path, rows: RowFiles, columns: list[Column], done: list[Source]) -> None:
    labels = [source.label for source in done]
    table = Table(
        [source.path for source in done],
        columns,
        lambda index, start, stop: rows.read(index, done[start:stop]),
        labels if any(labels) else None,
    )
    with needing(output, lambda: len(done) * rows.bytes_of_row):
        store_format(output).write(output, table)


def _refuse_to_lose(output: Path, lost: Sequence[Source], why: str | None) -> None:
    if lost:
        reason = f" ({why})" if why else ""
        raise InputError(
            f"{output} holds {len(lost)} images that were not asked for, whose rows cannot be "
            f"taken over{reason}. Ask for them too, choose another {argument('output')}, or drop "
            f"them with {argument('overwrite')}."
        )


def identities_of(
    frozen: FrozenGraph, tensors: Mapping[str, str], pooling: str | None, running: RunSettings
) -> dict[str, Identity]:
    """Return what the values of tensors depend on, by the same names as in `tensors`."""
    said = (pooling or "none", frozen.spec.preprocessing(), running.computed_in)
    return {
        name: Identity(fingerprint(frozen.graph_def, [tensor]), tensor, *said)
        for name, tensor in tensors.items()
    }


def _take_over(rows: RowFiles, old: Record, output: Path, wanted: set[Source]) -> str | None:
    """Copy the rows of a finished run for images that are still the same; say what stopped it."""
    read = store_format(output).read
    if read is None:
        return None
    waiting = iter(old.sources)
    try:
        for piece in read(output, old.columns, len(old.sources)):
            for row in zip(*piece, strict=True):
                source = next(waiting)
                if source in wanted and source not in rows:
                    rows.append(source, list(row))
    except DAMAGE as error:
        return str(error)
    return None


def _compute(
    extractor: Extractor,
    rows: RowFiles,
    columns: Sequence[Column],
    sources: Sequence[Source],
    options: FetchOptions,
    budget: Budget,
) -> Outcome:
    """Compute the rows that are not there."""
    output, on_error = Path(options.output), options.on_error
    waiting = {source.path: source for source in sources if source not in rows}
    lefts = iter(range(len(waiting), 0, -1))  # this one, and those that come, if none fails

    def keep(path: str, values: list[Vector]) -> None:
        for (name, shape), value in zip(columns, values, strict=True):
            if value.shape != shape:  # which would shift all rows after it
                found = f"gives values of shape {list(value.shape)} for {name!r}"
                raise ImageError(f"{found}, not {list(shape)}")
        # A row is written twice: to the unfinished run, and from there to the output.
        left = next(lefts)
        with needing(output, lambda: (2 * left + len(rows)) * rows.bytes_of_row):
            rows.append(waiting[path], values)

    return compute(extractor, list(waiting), keep, on_error, budget)
