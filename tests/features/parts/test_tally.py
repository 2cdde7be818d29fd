"""Counting shards: what is told, how often, and when a job gives up."""

from __future__ import annotations

import logging

import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.options import ManyOptions
from retrain_tools.features.parts.shard import Shard, ShardDone, ShardRefused
from retrain_tools.features.parts.tally import Tally
from retrain_tools.runners.work import Outcome


def tally(**options) -> Tally:
    return Tally(ManyOptions("out", **options), lambda: 1000)


def shard(number=0, images=40, tries=0) -> Shard:
    return Shard(number, [Entry("1.jpg")] * images, tries)


def ended(one: Shard, **done) -> Outcome:
    done = {"digest": "d", "computed": 0, "reused": 0, "failed": {}} | done
    return Outcome(one, ShardDone(**done), None, 0)


def nothing(*_: object, **__: object) -> None:
    pass


def test_failures_are_told_up_to_a_hundred(caplog):
    caplog.set_level(logging.INFO)
    counts = tally()
    for number in range(10):
        told = [(f"{number}-{image}.jpg", "is empty") for image in range(20)]
        done = ended(shard(number), failed={"image": 20}, told=told)
        counts.take(done, nothing)
    assert caplog.messages[:2] == ["0-0.jpg is empty", "0-1.jpg is empty"]
    assert caplog.messages[100:] == ["others that fail are only listed: part-*.failures.parquet"]
    assert counts.failed == {"image": 200}


def test_what_every_worker_says_is_told_once(caplog):
    caplog.set_level(logging.INFO)
    counts = tally()
    for number in range(3):
        counts.take(ended(shard(number), said=[(logging.WARNING, "it is random")]), nothing)
    assert caplog.messages == ["it is random"]


def test_the_digest_of_the_list_does_not_depend_on_the_order():
    forwards, backwards = tally(), tally()
    for number in range(5):
        forwards.take(ended(shard(number), digest=str(number)), nothing)
        backwards.take(ended(shard(4 - number), digest=str(4 - number)), nothing)
    assert forwards.digest == backwards.digest
    other = tally()
    for number in range(5):
        other.take(ended(shard(number), digest=str(4 - number)), nothing)
    assert other.digest != forwards.digest


def test_a_shard_that_kills_is_done_carefully_and_one_that_fails_as_before():
    counts = tally()
    counts.take(Outcome(shard(0), None, "its worker died", 3), nothing)
    counts.take(Outcome(shard(1), None, "disk full", 0), nothing)
    assert [(one.number, one.tries, one.is_careful) for one in counts.again] == [
        (0, 1, True), (1, 1, False),
    ]  # fmt: skip
    assert not counts.given_up


def test_a_job_gives_up_when_many_shards_cannot_be_done():
    counts = tally()
    for number in range(10):
        counts.take(Outcome(shard(number, tries=2), None, "disk full", 0), nothing)
    with pytest.raises(InputError) as error:
        counts.take(Outcome(shard(10, tries=2), None, "disk full", 0), nothing)
    assert str(error.value) == (
        "11 shards could not be done: part-00000.parquet: disk full. The same command goes on "
        "where this one has ended."
    )


def test_what_no_shard_can_do_ends_the_job():
    with pytest.raises(InputError, match="no such tensor"):
        tally().take(Outcome(shard(), ShardRefused("no such tensor"), None, 0), nothing)


def test_a_budget_ends_the_job_as_soon_as_it_is_known_to_be_spent():
    counts = tally(max_failures="2%")
    counts.take(ended(shard(0), failed={"image": 20}), nothing)
    with pytest.raises(InputError) as error:
        counts.take(ended(shard(1), failed={"reading": 1}), nothing)
    assert str(error.value) == (
        "21 of 1000 images cannot be used, more than max_failures=2% allows; the reasons are in "
        "out/part-*.failures.parquet."
    )


def test_progress_is_told_what_was_there_before():
    told = []
    counts = tally()
    counts.take(ended(shard(0), reused=40), lambda *some, **more: told.append((some, more)))
    done = ended(shard(1), computed=3, reused=37)
    counts.take(done, lambda *some, **more: told.append((some, more)))
    assert told == [((40,), {"failed": 0, "there": 40}), ((40,), {"failed": 0, "there": 37})]
