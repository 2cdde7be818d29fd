"""Work ahead and behind: order, what is raised, and that no thread is left."""

from __future__ import annotations

import itertools
import threading

import pytest

from retrain_tools.head.in_threads import made_ahead, told_behind


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_items_come_in_their_order_and_end_where_they_do():
    with made_ahead(iter(range(50))) as made:
        assert list(made) == list(range(50))


def test_no_more_than_two_items_are_made_before_they_are_needed():
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            yield number

    with made_ahead(items()) as made:
        assert [next(made) for _ in range(10)] == list(range(10))
    assert len(taken) <= 12


def test_what_making_an_item_raises_is_raised_in_its_place():
    def items():
        yield 1
        raise ValueError("broken")

    with made_ahead(items()) as made:
        assert next(made) == 1
        with pytest.raises(ValueError, match="broken"):
            next(made)


def test_everything_is_told_in_its_order_by_the_end_of_the_block():
    told = []
    with told_behind(told.append) as tell:
        for number in range(100):
            tell(number)
            assert len(told) >= number - 8
    assert told == list(range(100))


@pytest.mark.parametrize("last", [3, 100])
def test_what_telling_raises_is_raised_by_a_later_call_or_at_the_end(last):
    told = []

    def fails_at_the_second(number):
        if number == 1:
            raise ValueError("broken")
        told.append(number)

    with pytest.raises(ValueError, match="broken"), told_behind(fails_at_the_second) as tell:
        for number in range(last):
            tell(number)
    assert told == [0]


def test_an_error_of_the_block_itself_is_the_one_that_is_raised():
    told = []
    with pytest.raises(KeyError), told_behind(told.append) as tell:
        tell(1)
        raise KeyError("mine")
    assert told == [1]
