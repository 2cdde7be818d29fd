from __future__ import annotations

import pytest

from retrain_tools.engine.trial import Trial


def run_trial(sizes: list[int], threads: int, seconds: dict[int, float]) -> tuple[list[int], int]:
    """Give every batch the time that its size takes; return the sizes tried, and what was found."""
    trial, given = Trial(sizes, threads), []
    while True:
        given.append(trial.next_size())
        assert len(given) < 1000
        if (found := trial.note(given[-1], seconds[given[-1]])) is not None:
            return given, found


def test_each_size_is_tried_in_turn_and_the_fastest_is_found() -> None:
    given, found = run_trial([4, 8, 16], 2, {4: 0.4, 8: 0.7, 16: 1.7})
    assert found == 8
    assert given[:4] == [4, 8, 16, 4]
    assert sum(given) <= Trial([4, 8, 16], 2).images


def test_what_is_not_clearly_faster_does_not_take_the_place_of_the_usual_size() -> None:
    assert run_trial([4, 8], 2, {4: 0.4, 8: 0.79})[1] == 4


def test_the_first_batches_of_each_size_do_not_count() -> None:
    trial = Trial([4, 8], 2)
    for size, seconds in ((4, 0.4), (8, 9.0)):
        for number in range(7):
            found = trial.note(size, seconds if number < 2 else 0.4)
    assert found == 8


def test_one_slow_batch_does_not_decide() -> None:
    trial = Trial([4, 8], 1)
    for seconds in (0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        trial.note(4, seconds)
    for seconds in (0.6, 0.6, 0.6, 30.0, 0.6, 0.6):
        found = trial.note(8, seconds)
    assert found == 8


@pytest.mark.parametrize("size", [2, 3])
def test_batches_of_other_sizes_are_not_looked_at(size: int) -> None:
    assert Trial([4, 8], 2).note(size, 0.001) is None
