"""The first Ctrl-C asks for an end; the second one ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["end_asked"]


@contextmanager
def end_asked() -> Iterator[Callable[[], bool]]:
    """Yields what says whether Ctrl-C was pressed inside; pressed again, it works as ever.

    Outside the main thread, to which Python hands all signals, nothing changes, nor where Ctrl-C is
    ignored, as by what a shell runs in the background.
    """
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or before == signal.SIG_IGN:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
