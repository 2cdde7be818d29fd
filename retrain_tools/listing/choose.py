"""Which tensors of a graph are listed."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.dtypes import dtype_names
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.graphdef.walks import downstream, shortest_path
from retrain_tools.listing.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from retrain_tools.catalog_entry import CatalogEntry


@dataclasses.dataclass(frozen=True)
class Filters:
    """What a tensor must be to be listed; None where anything will do. All must hold.

    Attributes:
        pattern: a regular expression found in its name.
        glob: a pattern of file names that its whole name, with or without `:0`, matches.
        op_type: the ops, one of which makes it.
        dtype: the types, one of which it has.
        rank: how many dimensions it has; one whose rank is not known does not count.
        min_bytes: the least that it takes in memory; one of unknown size does not count.
        upstream: tensors, all of which are computed from it, themselves included.
        downstream: tensors, all of which it is computed from, themselves included.
        path: two tensors; it lies on a shortest path from the first to the second.
    """

    pattern: str | None = None
    glob: str | None = None
    op_type: Sequence[str] | None = None
    dtype: Sequence[str] | None = None
    rank: int | None = None
    min_bytes: int | None = None
    upstream: Sequence[str] | None = None
    downstream: Sequence[str] | None = None
    path: Sequence[str] | None = None


@dataclasses.dataclass(frozen=True)
class Kinds:
    """Which kinds of tensors are listed; all of them, where none is asked for.

    Attributes:
        inputs: what a caller may feed.
        outputs: what no other node takes.
        bottlenecks: what is worth caching, best first.
        input_layer: for those, the tensor that takes the image, if the user named it.
    """

    inputs: bool = False
    outputs: bool = False
    bottlenecks: bool = False
    input_layer: str | None = None


Extra = dict[str, dict[str, Any]]
"""What is to be said of a tensor besides, by its name and by column."""


def of_kind(
    graph: Any,
    tensors: Sequence[Tensor],
    kinds: Kinds,
    path: Path,
    entry: CatalogEntry | None = None,
) -> tuple[Sequence[Tensor], Extra]:
    """Return the tensors of the kinds asked for, and depth and reason of bottlenecks.

    The graph is one that `wiring_of` takes; for bottlenecks, a GraphDef. Its file, `path`, is for
    error messages; `entry` is its catalogue entry, if it was asked for by name.

    Raises:
        InputError: no tensor is seen to take images, or nothing is computed from it.
    """
    if kinds.bottlenecks:
        from retrain_tools.graphdef.make_spec import find_bottlenecks  # with the catalogue

        by_name = {tensor.name: tensor for tensor in tensors}
        found = find_bottlenecks(graph, str(path), entry, kinds.input_layer)
        extra: Extra = {c.tensor: {"depth": c.depth, "why": c.why} for c in found}
        return [by_name[name] for name in extra], extra
    if not kinds.inputs and not kinds.outputs:
        return tensors, {}
    wiring = wiring_of(graph)
    inputs = wiring.inputs(tensors) if kinds.inputs else []
    outputs = wiring.outputs(tensors) if kinds.outputs else []
    return inputs + [tensor for tensor in outputs if tensor not in inputs], {}


Test = Callable[[Tensor], bool]


def chosen(
    graph: Any, tensors: Sequence[Tensor], filters: Filters, known: Sequence[Tensor], path: Path
) -> list[Tensor]:
    """Return the tensors that pass the filters: in their order, or in that of the path asked for.

    They are chosen from `tensors`; `known` are all of the graph, whose file, `path`, is for error
    messages.

    Raises:
        InputError: a filter names what is not there, or there is no path between two tensors.
    """
    if filters == Filters():
        return list(tensors)
    tests = _tests(filters, known, path)
    wiring, where = wiring_of(graph), str(path)
    areas = [wiring.upstream(wiring.find(name, where)) for name in filters.upstream or ()]
    for name in filters.downstream or ():
        areas.append(downstream(wiring.after, [wiring.step(wiring.find(name, where))]))
    places: dict[str, int] = {}  # on the path asked for
    if filters.path is not None:
        steps = _path(filters.path, wiring, where)
        places = {name: place for place, name in enumerate(steps)}
        areas.append(set(places))
    if areas:
        inside = set.intersection(*areas)
        tests.append(lambda tensor: wiring.step(tensor.name) in inside)
    found = [tensor for tensor in tensors if all(test(tensor) for test in tests)]
    if places:
        found.sort(key=lambda tensor: places[wiring.step(tensor.name)])
    return found


def check_filters(filters: Filters) -> None:
    """Check what can be checked without a graph.

    Raises:
        InputError: a pattern, type or path is not written as it must be.
    """
    named(filters)
    for name in filters.dtype or ():
        if name not in dtype_names():
            raise InputError(
                f"--dtype={name} is no type of tensors.{did_you_mean(name, dtype_names())} "
                f"Types: {', '.join(dtype_names())}."
            )
    if filters.path is not None and len(filters.path) != 2:
        raise InputError(
            f"--path={','.join(filters.path)} must name two tensors, as --path=Mul,pool_3."
        )


def named(filters: Filters) -> Callable[[str], bool]:
    """Return the test that a name passes whose `pattern` and `glob` hold, of those given.

    Raises:
        InputError: the pattern is not a regular expression.
    """
    tests: list[Callable[[str], Any]] = []
    if filters.pattern is not None:
        try:
            tests.append(re.compile(filters.pattern).search)
        except re.error as error:
            not_one = f"--pattern={filters.pattern} is not a regular expression"
            raise InputError(f"{not_one}: {error}") from error
    if filters.glob is not None:
        matches = re.compile(fnmatch.translate(filters.glob)).match
        tests.append(lambda name: matches(name) or matches(name.removesuffix(":0")))
    return lambda name: all(test(name) for test in tests)


def _tests(filters: Filters, known: Sequence[Tensor], path: Path) -> list[Test]:
    is_named = named(filters)
    tests: list[Test] = [lambda tensor: is_named(tensor.name)]
    if filters.op_type is not None:
        ops, made = set(filters.op_type), sorted({tensor.op for tensor in known})
        for op in sorted(ops.difference(made)):
            raise InputError(
                f"No tensor of {path} is made by op {op!r}.{did_you_mean(op, made)} "
                f"Ops there: {', '.join(made)}."
            )
        tests.append(lambda tensor: tensor.op in ops)
    if filters.dtype is not None:
        dtypes = set(filters.dtype)
        tests.append(lambda tensor: tensor.dtype.removesuffix("_ref") in dtypes)
    if filters.rank is not None:
        rank = filters.rank
        tests.append(lambda tensor: tensor.shape is not None and len(tensor.shape) == rank)
    if filters.min_bytes is not None:
        least = filters.min_bytes
        tests.append(lambda tensor: tensor.bytes is not None and tensor.bytes >= least)
    return tests


def _path(ends: Sequence[str], wiring: Wiring, where: str) -> list[str]:
    start, end = (wiring.find(name, where) for name in ends)
    first, last = wiring.step(start), wiring.step(end)
    steps = shortest_path(wiring.after, first, last)
    if steps is None:
        reverse = shortest_path(wiring.after, last, first) is not None
        hint = f"; the way leads from {end!r} to {start!r}" if reverse else ""
        raise InputError(f"No way leads from {start!r} to {end!r} in {where}{hint}.")
    return steps
