"""The training that goes on in a worker: a process that is told what to do, batch by batch.

Orders and answers are lines of JSON over its standard input and output. Arrays lie in two blocks of
shared memory: one is filled while the worker reads the other.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from onnxtrim.errors import TrainingError
from onnxtrim.finetune.runtime.find import TrainingRuntime

__all__ = ["Blocks", "RemoteTrainer"]

_SLOTS = 2
_ALIGNMENT = 64
_GRACE_S = 5
_LAST_WORDS = 1 << 16
_CHATTER = re.compile(r"\[[VIW]:onnxruntime")


class RemoteTrainer:
    """A worker; to be used in a `with`, after which its process is gone.

    Orders are answered one after the other, and one may be sent before the last is answered.

    Args:
        runtime: who runs it.
        folder: a temporary one, which takes what it writes to standard error. The worker removes it
            where this process dies before it can.
    """

    def __init__(self, runtime: TrainingRuntime, folder: Path) -> None:
        """Starts the process."""
        self._said = folder / "stderr.txt"
        self._blocks = Blocks()
        with self._said.open("wb") as said:
            said.write(b"\n" * _LAST_WORDS)  # a disk that is full later has room for why
            said.seek(0)
            self._process = subprocess.Popen(
                [str(runtime.python), "-m", "onnxtrim_worker.train", str(folder)],
                env=runtime.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                encoding="utf-8",
            )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process, and frees the shared memory."""
        try:
            with suppress(OSError), self._input:
                self._write("close")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S if kind is None else 0)
        finally:  # after a Ctrl-C in the meantime, too
            self._process.kill()
            self._process.wait()
            self._output.close()
            self._blocks.close()

    @property
    def pid(self) -> int:
        """Returns the id of the process."""
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def ask(self, verb: str, **details: object) -> dict[str, Any]:
        """Returns the answer to an order.

        Raises:
            TrainingError: the worker has died; the message has its last words.
        """
        self.send(verb, **details)
        return self.answer()

    def send(self, verb: str, **details: object) -> None:
        """Gives an order, which is answered later.

        Raises:
            TrainingError: the worker has died; the message has its last words.
        """
        try:
            self._write(verb, **details)
        except OSError as error:
            raise self._death() from error

    def answer(self) -> dict[str, Any]:
        """Returns the answer to the oldest order that has none yet.

        Raises:
            TrainingError: the worker has died; the message has its last words.
        """
        line = self._output.readline()
        if not line.endswith("\n"):
            raise self._death()
        said: dict[str, Any] = json.loads(line)
        return said

    def place(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Returns where the worker finds copies of some arrays, until the next call but one.

        Raises:
            TrainingError: there is no room for them.
        """
        return self._blocks.place(arrays)

    def _write(self, verb: str, **details: object) -> None:
        """Writes an order; raises OSError where nobody reads it."""
        self._input.write(json.dumps({"do": verb, **details}) + "\n")
        self._input.flush()

    @property
    def _input(self) -> Any:  # noqa: ANN401
        return self._process.stdin

    @property
    def _output(self) -> Any:  # noqa: ANN401
        return self._process.stdout

    def _death(self) -> TrainingError:
        """Returns the error of a worker that has died."""
        try:
            status = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        lines = self._said.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not _CHATTER.search(line)]
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return TrainingError(
            f"training stopped: {said[-1] if said else 'no word of why'} ({ended})"
        )


class Blocks:
    """Two blocks of shared memory, filled in turn; each grows with what it must hold."""

    def __init__(self) -> None:
        """Holds nothing yet."""
        self._blocks: list[SharedMemory | None] = [None] * _SLOTS
        self._next = 0

    def place(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Returns where copies of some arrays lie: `slot`, `block`, and the `arrays` in it.

        They are there until the next call but one.

        Raises:
            TrainingError: there is no room for them.
        """
        places: list[dict[str, Any]] = []
        end = 0
        for name, array in arrays.items():
            places.append(
                {"name": name, "dtype": array.dtype.str, "shape": array.shape, "offset": end}
            )
            end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        slot = self._next
        self._next = (slot + 1) % _SLOTS
        block = self._sized(slot, end)
        for place, array in zip(places, arrays.values(), strict=True):
            np.ndarray(array.shape, array.dtype, block.buf, place["offset"])[...] = array
        return {"slot": slot, "block": block.name, "arrays": places}

    def close(self) -> None:
        """Frees the memory."""
        for slot in range(_SLOTS):
            self._free(slot)

    def _sized(self, slot: int, size: int) -> SharedMemory:
        """Returns the block of a slot, with room for `size` bytes at least."""
        block = self._blocks[slot]
        if block is None or block.size < size:
            self._free(slot)
            try:
                block = self._blocks[slot] = SharedMemory(create=True, size=max(size, 1))
                _claim(block)
            except OSError as error:
                raise TrainingError(
                    f"there is no shared memory for a batch of {size / 1e6:.1f} MB "
                    f"({error.strerror}); lower --batch-size, or allow for more (/dev/shm)"
                ) from error
        return block

    def _free(self, slot: int) -> None:
        """Gives the block of a slot back."""
        block = self._blocks[slot]
        if block is not None:
            block.close()
            block.unlink()
        self._blocks[slot] = None


def _claim(block: SharedMemory) -> None:
    """Takes the memory of a block; raises OSError where there is none.

    Else Linux finds out when it is written to, and ends the process by SIGBUS.
    """
    place = Path("/dev/shm", block.name)
    if place.exists():
        with place.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, block.size)
