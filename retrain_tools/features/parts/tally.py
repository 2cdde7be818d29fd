"""What became of the shards of a job so far: counts, what is told, what is to be tried again."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.features.failures import Budget
from retrain_tools.features.parts import layout
from retrain_tools.features.parts.manifest import add_up
from retrain_tools.features.parts.options import ManyOptions
from retrain_tools.features.parts.shard import Shard, ShardDone, ShardRefused
from retrain_tools.runners.work import Outcome
from retrain_tools.text_tables import counted
from retrain_tools.uris import join, shown

log = logging.getLogger(__name__)

_MOST_TOLD = 100  # failures that are named in the log; all are in the lists
_MOST_TRIES = 3  # of a shard, each with as many deaths of workers as a runner bears
_MOST_GIVEN_UP = 10  # shards; more, and it is not the shards' fault


class Tally:
    """What became of shards so far."""

    def __init__(self, options: ManyOptions, total: Callable[[], int | None]) -> None:
        self.total = total
        self.digest = self.images = self.shards = self.computed = self.reused = 0
        self.failed: collections.Counter[str] = collections.Counter()
        self.differences: dict[str, Any] = {}
        self.given_up: list[str] = []
        self.again: collections.deque[Shard] = collections.deque()
        self._told, self._said = 0, set[str]()
        self._options = options

    def budget(self, images: int | None) -> Budget:
        """Return how many of so many images may fail; of no one knows how many, any percentage."""
        said = self._options.max_failures
        if images is None and "%" in str(said):
            said = None
        place = shown(join(self._options.output, layout.FAILURES))
        return Budget.of(said, images or self.images, place)

    def take(
        self, outcome: Outcome[Shard, ShardDone | ShardRefused], advance: Callable[..., object]
    ) -> None:
        """Count what became of a shard, or let it be tried again.

        Raises:
            InputError: no shard can be done, too many could not, or too many images failed.
        """
        shard, done = outcome.task, outcome.result
        if isinstance(done, ShardRefused):
            raise InputError(done.message)
        if done is None:
            self._give_up(shard, outcome)
            return
        failed = sum(done.failed.values())
        self.shards += 1
        self.images += len(shard.entries)
        self.digest = add_up(self.digest, shard.number, done.digest)
        self.computed += done.computed
        self.reused += done.reused
        self.failed.update(done.failed)
        for name, found in done.differences.items():
            if self.differences.get(name, {}).get("images", 0) < found["images"]:
                self.differences[name] = found
        self._tell(done)
        there = len(shard.entries) if not done.computed and not done.told else done.reused
        advance(len(shard.entries), failed=failed, there=there)
        self.budget(self.total()).refuse(self.failed.total())

    def _give_up(self, shard: Shard, outcome: Outcome[Shard, Any]) -> None:
        why = f"{layout.part_name(shard.number)}: {outcome.failure}"
        if shard.tries + 1 < _MOST_TRIES:
            log.warning("%s; it is tried again", why)
            careful = shard.is_careful or outcome.deaths > 0
            again = dataclasses.replace(shard, tries=shard.tries + 1, is_careful=careful)
            self.again.append(again)
            return
        self.given_up.append(why)
        if len(self.given_up) > _MOST_GIVEN_UP:
            raise self.gave_up()

    def gave_up(self) -> InputError:
        """Return what tells of the shards that could not be done."""
        shards = counted(len(self.given_up), "shard")
        return InputError(
            f"{shards} could not be done: {self.given_up[0]}. The same command goes on where this "
            "one has ended."
        )

    def _tell(self, done: ShardDone) -> None:
        for level, line in done.said:
            if line not in self._said and len(self._said) < _MOST_TOLD:
                self._said.add(line)
                log.log(level, "%s", line)
        for image, why in done.told:
            self._told += 1
            if self._told <= _MOST_TOLD:
                log.warning("%s %s", shown(image), why)
            if self._told == _MOST_TOLD:
                log.warning("others that fail are only listed: %s", layout.FAILURES)
