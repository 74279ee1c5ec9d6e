"""Items made ready in a thread of their own while the last one is still in use."""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")

_DEPTH = 2


def prefetched(items: Iterator[T], depth: int = _DEPTH) -> Generator[T, None, None]:
    """Yields `items`, of which a thread makes up to `depth` ahead.

    What `items` raises is raised here, in its place. The thread ends with the items, or when the
    generator is closed.
    """
    ready: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(depth)
    closed = threading.Event()

    def work() -> None:
        try:
            while room.acquire() and not closed.is_set():
                ready.put((next(items),))
        except StopIteration:
            ready.put(None)
        except BaseException as error:  # it is the consumer's to handle
            ready.put(error)

    thread = threading.Thread(target=work, name="onnxtrim-prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item[0]
    finally:
        closed.set()
        room.release()
        thread.join()
