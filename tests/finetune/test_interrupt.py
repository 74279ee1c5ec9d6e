"""Ctrl-C, once and twice."""

import signal
import threading

import pytest

from onnxtrim.finetune.interrupt import end_asked


def test_the_first_is_noted_and_the_second_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with end_asked() as ended:
        assert not ended()
        signal.raise_signal(signal.SIGINT)
        assert ended()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_afterwards_it_works_as_ever() -> None:
    with end_asked() as ended:
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not ended()


def test_where_it_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with end_asked() as ended:
        signal.raise_signal(signal.SIGINT)
        assert not ended()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_in_another_thread_nothing_is_changed() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with end_asked() as ended:
            found.extend([ended(), signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False, True]
