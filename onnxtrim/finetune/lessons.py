"""What is learned from: batches, and the targets of each.

The samples are shuffled into batches once, and the batches come in a new order in every epoch. So
what the teacher answers to a batch is good for all epochs.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset, divisible
from onnxtrim.calibration.data.feeding import padded
from onnxtrim.calibration.evaluate import check_labels
from onnxtrim.finetune.losses import Goal, one_hot, softened, target_name
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Lessons", "Teacher"]

_KEPT_BYTES = 256 << 20


class Teacher:
    """A model that says what is right; what it answered once is kept.

    Args:
        model: the model.
        folder: takes the answers that are beyond 256 MB.
        threads: threads of the runtime; 0 lets it choose.
        room: bytes of answers that stay in memory.
    """

    def __init__(
        self, model: ir.Model, folder: Path, threads: int = 0, room: int = _KEPT_BYTES
    ) -> None:
        """Runs nothing yet."""
        self._runner = Runner(model, threads=threads)
        self._folder, self._room = folder, room
        self._kept: dict[str, Arrays] = {}

    def answers(self, key: str, batch: Batch) -> Arrays:
        """Returns the outputs for a batch, which is known by its key from then on."""
        if key in self._kept:
            return self._kept[key]
        path, names = self._folder / f"{key}.npz", self._runner.output_names
        if path.exists():
            with np.load(path) as stored:
                return {name: stored[f"arr_{i}"] for i, name in enumerate(names)}
        found = self._runner(batch.inputs)
        size = sum(array.nbytes for array in found.values())
        if size <= self._room:
            self._room -= size
            self._kept[key] = found
        else:
            np.savez(path, *(found[name] for name in names))
        return found


class Lessons:
    """Batches of one size, with a target for every goal.

    The gradients of some operators (AveragePool) are wrong or fatal where the size of a batch is
    not known beforehand. So a short last batch is left out where samples are shuffled, and filled
    up by repeating its last sample elsewhere.

    Args:
        name: tells these batches from others for the teacher.
        data: the samples.
        size: samples a batch; None for calls, which come one at a time, as they are.
        goals: what is learned.
        teacher: who knows the targets; the labels where there is none.
        seed: of the order; None for that of the data. Data that cannot be divided keep theirs.
    """

    def __init__(
        self,
        name: str,
        data: Dataset,
        size: int | None,
        goals: Sequence[Goal],
        teacher: Teacher | None,
        seed: int | None = None,
    ) -> None:
        """Reads nothing yet."""
        self._name, self._data, self._goals, self._teacher = name, data, goals, teacher
        self._size, self._fills = size or 1, size is not None
        self._seed = seed if divisible(data) else None

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        total = len(self._data)
        if self._seed is None or total < self._size:
            return -(-total // self._size)
        return total // self._size

    def epoch(self, number: int = 0) -> Generator[tuple[Arrays, int], None, None]:
        """Yields inputs and targets by name, and how many samples they are."""
        with closing(self._batches(number)) as batches:
            for index, batch in batches:
                short = self._fills and batch.count < self._size
                whole = padded(batch, self._size) if short else batch
                yield {**whole.inputs, **self._targets(index, whole)}, batch.count

    def _batches(self, number: int) -> Generator[tuple[int, Batch], None, None]:
        """Yields the batches of an epoch, each with its place in the first one."""
        if self._seed is None or not divisible(self._data):
            yield from enumerate(self._data.batches(self._size))
            return
        order = np.random.default_rng(self._seed).permutation(len(self._data))
        for index in np.random.default_rng([self._seed, number]).permutation(len(self)):
            chosen = np.sort(order[index * self._size : (index + 1) * self._size])
            for batch in self._data.subset(chosen).batches(self._size):
                yield int(index), batch

    def _targets(self, index: int, batch: Batch) -> Mapping[str, npt.NDArray[Any]]:
        """Returns the target of every goal for a batch."""
        if self._teacher is None:
            return {target_name(goal.output): _labelled(goal, batch) for goal in self._goals}
        found = self._teacher.answers(f"{self._name}-{index}", batch)
        return {target_name(goal.output): _taught(goal, found) for goal in self._goals}


def _taught(goal: Goal, answers: Arrays) -> npt.NDArray[Any]:
    """Returns the target that the answers of a teacher are."""
    answer = answers[goal.output]
    return softened(answer, goal.temperature) if goal.kind == "cross-entropy" else answer


def _labelled(goal: Goal, batch: Batch) -> npt.NDArray[np.float32]:
    """Returns the target that the labels are; a batch that was filled up repeats its last one.

    Raises:
        DataError: a label is no class of the model.
    """
    if batch.labels is None:
        raise ValueError("there are no labels and no teacher")
    check_labels(batch.labels, goal.sizes[0])
    labels = np.pad(batch.labels, (0, batch.length - batch.count), mode="edge")
    return one_hot(labels, (len(labels), *goal.sizes))
