"""The search: pipelines are tried on a few images, those that help are changed further."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.cpu import usable_cores
from retrain_tools.explaining.finishing import (
    Finish,
    best_factor,
    difference,
    flat,
    spread_of,
    squeezed,
)
from retrain_tools.explaining.hypotheses import moves
from retrain_tools.explaining.hypotheses.facts import Facts
from retrain_tools.explaining.network import NotPossibleError
from retrain_tools.explaining.pipeline import Pipeline, causes_between
from retrain_tools.explaining.runs import Runs

Floats = npt.NDArray[np.float32]

EXACT = 2e-4
"""The error, in parts of the features' spread, at which the search stops: other kernels and threads
make up to half of it in float32, and no other cause of those that are searched for so little."""

_ENOUGH = 0.005  # of the error at the start: with less left, one more level and nothing dear
_NOISE = 2e-6  # the same, in parts of the features' mean, where they hardly differ at all
_LEVELS = 4
_BEAM, _NARROW_BEAM = 3, 2
_LITTLE = 0.7  # of the error at the start: with more left after two levels, there is no third
_NOTHING = 0.9  # the same: with more left, nothing that was tried is any part of the cause
_FACTOR_HELPS = 0.5  # what must be left, at most, of the error without it


@dataclasses.dataclass(frozen=True)
class Found:
    """A pipeline that was tried.

    Attributes:
        pipeline: it.
        finish: what was done to the features after it.
        error: the mean absolute difference that is left.
        apart: 1 minus the correlation of all values.
        count: how many causes it has.
    """

    pipeline: Pipeline
    finish: Finish
    error: float
    apart: float
    count: int


class Search:
    """What was tried so far, for one pair of feature sets."""

    def __init__(
        self, runs: Runs, facts: Facts, start: Pipeline, finish: Finish, other: Floats
    ) -> None:
        """Take what runs pipelines, where the search starts, and the features to be explained.

        Args:
            runs: of the images of `other`.
            facts: say which hypotheses make sense.
            start: the graph's own pipeline: causes are what differs from it.
            finish: what the features show to have gone through after the network.
            other: float32 [N, ...].
        """
        self._shape = other.shape[1:]
        self._runs, self._facts, self._start, self._finish = runs, facts, start, finish
        self._other = flat(other)
        self.tried: dict[Pipeline, Found] = {}
        self._first_of: dict[str, Pipeline] = {}
        self._same: dict[Pipeline, list[Pipeline]] = {}

    def run(self, rows: Sequence[int], initial: Sequence[Pipeline]) -> Found | None:
        """Search from some pipelines, on some rows; return the best, None if nothing runs.

        What opens the network anew is only tried when nothing else is enough.
        """
        self._try(initial, rows)
        for with_dear in (False, True):
            best = self.best()
            if best is None or self.is_exact(best, rows) or (with_dear and self._is_enough(rows)):
                break
            self._climb(rows, with_dear)
        return self.best()

    def _climb(self, rows: Sequence[int], with_dear: bool) -> None:
        """Change the best pipelines so far in every way, level by level.

        It ends where what is left is no more than float32 leaves, where two levels bring little,
        or after some levels.
        """
        expanded: set[Pipeline] = set()
        for level in range(_LEVELS):
            if level >= (1 if with_dear else 2) and self._has_stalled(rows):
                return
            beam = self._beam(expanded, self._width(rows))
            if with_dear and level == 0:
                beam = self._plain()[: 1 if self.found_nothing() else None]
            is_last = self._is_enough(rows)
            expanded.update(beam)
            for group in self._groups(beam[: 1 if is_last else None], with_dear):
                self._try(group, rows)
                best = self.best()
                if best is None or self.is_exact(best, rows):
                    return
            if is_last:
                return

    def _width(self, rows: Sequence[int]) -> int:
        """Return how many pipelines are changed next."""
        if self.found_nothing():
            return 1
        return _NARROW_BEAM if self._has_stalled(rows) else _BEAM

    def _groups(self, beam: Sequence[Pipeline], with_dear: bool) -> list[list[Pipeline]]:
        """Return what the pipelines lead to; of what is dear, each network's ways together."""
        groups = [list(moves(self._facts, pipeline, with_dear)) for pipeline in beam]
        if not with_dear:
            return groups
        together = [pipeline for group in groups for pipeline in group]
        return [sorted(together, key=lambda p: (p.size, p.network, p.precision))]

    def best(self) -> Found | None:
        """Return what leaves the least; of those that leave nearly as little, the simplest."""
        if not self.tried:
            return None
        least = min(found.error for found in self.tried.values())
        near = [found for found in self.tried.values() if found.error <= 1.2 * least + 1e-12]
        return min(near, key=lambda found: (found.count, found.error))

    def score(self, pipeline: Pipeline, rows: Sequence[int]) -> Found:
        """Run a pipeline on rows and compare.

        Raises:
            NotPossibleError: the network does not run in this way.
        """
        features = self._runs.features(rows, pipeline)
        if squeezed(features).shape[1:] != self._shape:
            raise NotPossibleError("its features have another shape")
        values, other = flat(features), self._other[list(rows)]
        of_all = len(rows) == len(self._other)
        wanted = other if of_all else self._finish.comparable(other)
        finish, error, made = self._finish, np.inf, values
        with np.errstate(all="ignore"):
            made = finish.apply(values, of_all)
            error = difference(made, wanted)
            if finish.normalised == "none":
                factor = best_factor(values, other)
                by_factor = dataclasses.replace(finish, factor=factor)
                left = difference(by_factor.apply(values, of_all), wanted)
                if left < _FACTOR_HELPS * error and abs(factor - 1) > 1e-3:
                    finish, error = by_factor, left
            apart = 1 - _correlation(made, wanted)
        count = len(causes_between(self._start, pipeline)) + (finish.factor != 1)
        return Found(pipeline, finish, error, apart, count)

    def with_same(self, pipeline: Pipeline) -> list[Pipeline]:
        """Return a pipeline, and those that gave the same pixels for the images of the search."""
        return [pipeline, *self._same.get(pipeline, ())]

    def spread(self, rows: Sequence[int]) -> float:
        """Return the mean absolute deviation of the other side's features on some rows."""
        return spread_of(self._finish.comparable(self._other[list(rows)]))

    def is_exact(self, found: Found, rows: Sequence[int]) -> bool:
        """Tell whether no more is left than float32 leaves."""
        other = self._finish.comparable(self._other[list(rows)])
        noise = _NOISE * float(np.abs(other).mean())
        return found.error <= max(EXACT * spread_of(other), noise)

    def _has_stalled(self, rows: Sequence[int]) -> bool:
        best = self.best()
        return best is None or best.error > _LITTLE * min(self.spread(rows), self._first_error())

    def found_nothing(self) -> bool:
        """Tell whether nothing that was tried is any part of the cause."""
        best = self.best()
        return best is None or best.error > _NOTHING * self._first_error()

    def _is_enough(self, rows: Sequence[int]) -> bool:
        best = self.best()
        least = min(self.spread(rows), self._first_error())
        return best is not None and best.error < _ENOUGH * least

    def _first_error(self) -> float:
        return next(iter(self.tried.values())).error

    def _beam(self, expanded: set[Pipeline], most: int) -> list[Pipeline]:
        """Return the pipelines to be changed next: the nearest, by error and by correlation."""
        left = [found for found in self.tried.values() if found.pipeline not in expanded]
        by_error = sorted(left, key=lambda found: (found.error, found.count))
        by_correlation = sorted(left, key=lambda found: (found.apart, found.count))
        mixed = [found for pair in zip(by_error, by_correlation, strict=True) for found in pair]
        return list(dict.fromkeys(found.pipeline for found in mixed))[:most]

    def _plain(self) -> list[Pipeline]:
        """Return the first pipeline, the best with one cause and the best: for what is dear.

        The best may have causes that only make up for one that is not found yet.
        """
        single = [found for found in self.tried.values() if found.count == 1]
        best = [
            min(some, key=lambda found: found.error)
            for some in (single, self.tried.values())
            if some
        ]
        first = next(iter(self.tried))
        return list(dict.fromkeys([first, *(found.pipeline for found in best)]))

    def _try(self, pipelines: Iterable[Pipeline], rows: Sequence[int]) -> None:
        """Score pipelines that were not tried, a few at a time; stop where one is exact."""
        fresh = [p for p in dict.fromkeys(pipelines) if p not in self.tried]
        with ThreadPoolExecutor(usable_cores()) as workers:
            step = 4 * usable_cores()
            for start in range(0, len(fresh), step):
                few = fresh[start : start + step]
                keys = workers.map(lambda p: self._runs.key(rows, p), few)
                few = self._distinct(few, list(keys))
                for found in workers.map(lambda p: self._attempt(p, rows), few):
                    if found is not None:
                        self.tried[found.pipeline] = found
                best = self.best()
                if best is not None and self.is_exact(best, rows):
                    return

    def _distinct(self, pipelines: Sequence[Pipeline], keys: Sequence[str]) -> list[Pipeline]:
        """Return the pipelines whose pixels were not seen yet; the first of equals counts."""
        result = []
        for pipeline, key in zip(pipelines, keys, strict=True):
            first = self._first_of.setdefault(key, pipeline)
            if first == pipeline:
                result.append(pipeline)
            elif pipeline not in (same := self._same.setdefault(first, [])):
                same.append(pipeline)
        return result

    def _attempt(self, pipeline: Pipeline, rows: Sequence[int]) -> Found | None:
        try:
            found = self.score(pipeline, rows)
        except NotPossibleError:
            return None
        return found if np.isfinite(found.error) else None


def _correlation(values: Floats, other: Floats) -> float:
    """Return the correlation of all values; 0 where one side is the same everywhere."""
    found = np.corrcoef(values.reshape(-1).astype(np.float64), other.reshape(-1))[0, 1]
    return float(found) if np.isfinite(found) else 0.0
