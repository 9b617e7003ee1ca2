"""The feed: batches in order whatever the threads, bounded, honest about errors, and gone when it is over."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from prepared_in_memory import a_network, made

from harness.data.feed import Feed
from harness.data.preprocessing import Preprocessing
from harness.data.stream import Stream


class Numbers:
    """Steps themselves, the even ones late; and how far ahead it was asked."""

    def __init__(self, bad: int | None = None) -> None:
        self.bad = bad
        self.asked: list[int] = []

    def batch(self, step: int) -> int:
        self.asked.append(step)
        if step == self.bad:
            raise OSError("the disk is gone")
        time.sleep(0.002 if step % 2 == 0 else 0)
        return step


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_batches_come_in_order_from_the_first_step_on(threads: int) -> None:
    with Feed(Numbers(), 7, threads) as feed:
        assert [feed.next() for _ in range(40)] == list(range(7, 47))


def test_batches_are_the_streams() -> None:
    network = a_network()
    stream = Stream(made(), network, Preprocessing.of(network, made()), seed=0, batch_size=4)
    with Feed(stream, 3, threads=2) as feed:
        for step in range(3, 15):
            assert np.array_equal(feed.next().images, stream.batch(step).images)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_prepared_than_the_threads_and_one(threads: int) -> None:
    numbers = Numbers()
    with Feed(numbers, 0, threads) as feed:
        for taken in range(1, 6):
            feed.next()
            time.sleep(0.03)
            assert len(numbers.asked) <= taken + threads + 1


def test_an_error_is_raised_at_its_own_step_and_at_every_call_after_it() -> None:
    with Feed(Numbers(bad=2), 0, threads=2) as feed:
        assert [feed.next(), feed.next()] == [0, 1]
        for _ in range(3):
            with pytest.raises(OSError, match="the disk is gone"):
                feed.next()


def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    with Feed(Numbers(), 0, threads=3) as feed:
        feed.next()
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_no_thread_is_left_behind_by_an_error() -> None:
    before = set(threading.enumerate())

    def fail() -> None:
        with Feed(Numbers(), 0, threads=3) as feed:
            feed.next()
            raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="own"):
        fail()
    assert set(threading.enumerate()) == before


def test_it_gives_nothing_outside_its_block() -> None:
    feed = Feed(Numbers())
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        feed.next()
    with feed:
        feed.next()
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        feed.next()


def test_threads_must_be_one_at_least() -> None:
    with pytest.raises(ValueError, match="threads = 0 must be at least 1"):
        Feed(Numbers(), threads=0)
