"""Arrays that another process has put into shared memory."""

from contextlib import suppress
from multiprocessing import resource_tracker, shared_memory
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SharedArrays"]


class SharedArrays:
    """What lies in the blocks of shared memory of another process, which owns them.

    A block is attached when it is first named, and let go when another takes its place.
    """

    def __init__(self) -> None:
        """Attaches nothing yet."""
        self._blocks: dict[int, shared_memory.SharedMemory] = {}
        # Before Python 3.13 who attaches a block is held for its owner, and would delete it.
        resource_tracker.register = resource_tracker.unregister = lambda *_: None

    def views(self, place: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Returns the arrays in a block, without a copy, until the next call for this slot.

        Args:
            place: `slot`, the name of its `block`, and of each of the `arrays` its `name`, `dtype`,
                `shape` and `offset`.
        """
        block = self._blocks.get(place["slot"])
        if block is None or block.name != place["block"]:
            if block is not None:
                block.close()
            block = shared_memory.SharedMemory(place["block"])
            self._blocks[place["slot"]] = block
        return {
            a["name"]: np.ndarray(a["shape"], a["dtype"], block.buf, a["offset"])
            for a in place["arrays"]
        }

    def remove(self) -> None:
        """Frees the blocks, whose owner is dead."""
        for block in self._blocks.values():
            with suppress(FileNotFoundError):
                block.unlink()
