"""The thread that reads ahead: how far, what it raises, and that it ends."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxtrim.calibration.data.prefetch import prefetched

WAIT = 10.0


def threads() -> list[threading.Thread]:
    """Returns the threads that read ahead."""
    return [thread for thread in threading.enumerate() if thread.name == "onnxtrim-prefetch"]


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    assert threads() == []


@given(items=st.lists(st.none() | st.integers()), depth=st.integers(1, 5))
def test_all_items_come_in_order(items: list[int | None], depth: int) -> None:
    assert list(prefetched(iter(items), depth)) == items


def test_items_are_made_in_a_thread_of_their_own() -> None:
    def makers() -> Iterator[threading.Thread]:
        yield threading.current_thread()

    (maker,) = prefetched(makers())
    assert maker is not threading.current_thread()
    assert maker.daemon, "it must not keep a process alive"


@pytest.mark.parametrize("depth", [1, 3])
def test_as_many_items_as_asked_for_are_made_ahead(depth: int) -> None:
    made = threading.Semaphore(0)
    count = 0

    def items() -> Iterator[int]:
        nonlocal count
        for count in range(1, 100):
            made.release()
            yield count

    found = prefetched(items(), depth)
    assert next(found) == 1
    for _ in range(1 + depth):  # the one in use, and those ahead of it
        assert made.acquire(timeout=WAIT)
    assert not made.acquire(timeout=0.05), "one more was made"
    assert count == 1 + depth
    found.close()


def test_nothing_is_made_before_the_first_is_asked_for() -> None:
    def never() -> Iterator[int]:
        pytest.fail("was asked for an item")
        yield 0

    prefetched(never())
    assert threads() == []


def test_what_is_raised_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("the third")

    found = prefetched(failing())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(LookupError, match="the third"):
        next(found)
    assert threads() == []


def test_an_interruption_in_the_thread_reaches_the_consumer() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(prefetched(interrupted()))


@pytest.mark.parametrize("read", [1, 2, 5])
def test_the_thread_ends_when_the_consumer_stops(read: int) -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    for number in prefetched(items()):
        if number == read:
            break
    assert threads() == []
    assert closed.is_set(), "the source was not closed"


def test_the_thread_ends_when_the_consumer_fails() -> None:
    def consume() -> None:
        for _ in prefetched(iter(range(1_000_000))):
            raise LookupError("of the consumer")

    with pytest.raises(LookupError, match="of the consumer") as caught:
        consume()
    del caught  # its traceback held what was being read
