"""Threads that decode share half of the free memory: they wait, or an image fails before it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrain_tools.features.decoding_memory import DecodingMemory
from retrain_tools.images.decode import ImageError

MB = 1_000_000


def memory(free, more=0):
    return DecodingMemory(more, lambda: free)


def test_an_image_that_would_take_more_than_there_may_be_fails_before():
    with pytest.raises(ImageError) as raised, memory(300 * MB).share() as take:
        take(151 * MB, 0)
    assert str(raised.value) == (
        "may take 151 MB to decode, and no more than 150 MB are left for that: half of the free "
        "memory"
    )
    assert raised.value.kind == "memory"


def test_what_a_pixel_takes_more_counts():
    shared = memory(300 * MB, more=24)
    with shared.share() as take:
        take(78 * MB, 3 * MB)
    with pytest.raises(ImageError, match=r"^may take 151 MB "), shared.share() as take:
        take(79 * MB, 3 * MB)


def test_small_images_and_unknown_machines_are_not_asked():
    with memory(0).share() as take:
        take(60 * MB, 0)
    with memory(None).share() as take:
        take(10**12, 0)


def test_together_no_more_is_taken_than_there_may_be_and_all_get_their_turn():
    shared, lock = memory(400 * MB), threading.Lock()
    now, most, done = 0, 0, 0

    def work(megabytes):
        nonlocal now, most, done
        with shared.share() as take:
            take(megabytes * MB, 0)
            with lock:
                now += megabytes
                most = max(most, now)
            threading.Event().wait(0.001)
            with lock:
                now -= megabytes
                done += 1

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(work, [80, 120, 200, 70, 150, 90] * 10))
    assert (done, now) == (60, 0)
    assert 120 <= most <= 200


def test_one_that_fails_gives_back_what_it_took():
    shared = memory(400 * MB)
    with pytest.raises(ZeroDivisionError), shared.share() as take:
        take(200 * MB, 0)
        raise ZeroDivisionError
    with shared.share() as take:
        take(200 * MB, 0)


def test_what_is_free_is_asked_again_when_nothing_is_taken():
    free = 400 * MB
    shared = DecodingMemory(0, lambda: free)
    with shared.share() as take:
        take(200 * MB, 0)
    free = 200 * MB
    with pytest.raises(ImageError, match=r"no more than 100 MB"), shared.share() as take:
        take(150 * MB, 0)
