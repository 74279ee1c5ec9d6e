"""What is learned from: batches, and the targets of each.

The samples are shuffled into batches once, and the batches come in a new order in every epoch. So
what the teacher answers to a batch is good for all epochs, unless its images are changed in each.
"""

import errno
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration.data.dataset import Batch, Dataset, divisible
from onnxtrim.calibration.data.feeding import padded
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.augment import Augmentation, augmented
from onnxtrim.finetune.losses import Goal, OwnLoss, targets_of
from onnxtrim.graph.runtime import Arrays, Runner

__all__ = ["Lessons", "Prompter", "Teacher"]

_KEPT_BYTES = 256 << 20
_SPARE_BYTES = 256 << 20
"""What stays free on the disk, for weights and for others."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Teacher:
    """A model that says what is right; what it answered once is kept, while there is room.

    Args:
        model: the model.
        folder: takes the answers that are beyond 256 MB, as long as the disk has as much free.
        threads: threads of the runtime; 0 lets it choose.
        room: bytes of answers that stay in memory.
    """

    def __init__(
        self, model: ir.Model, folder: Path, threads: int = 0, room: int = _KEPT_BYTES
    ) -> None:
        """Runs nothing yet."""
        self._runner = Runner(model, threads=threads, spin=False)  # the worker has the cores
        self._folder, self._room = folder, room
        self._kept: dict[str, Arrays] = {}

    def answers(self, batch: Batch, key: str | None = None) -> Arrays:
        """Returns the outputs for a batch; where it has a key, it is known by that from then on.

        Raises:
            TrainingError: the folder cannot be written.
        """
        if key is None:
            return self._runner(batch.inputs)
        if key in self._kept:
            return self._kept[key]
        path = self._folder / f"{key}.npz"
        if path.exists():
            with np.load(path) as stored:
                return dict(zip(self._runner.output_names, stored.values(), strict=True))
        found = self._runner(batch.inputs)
        size = sum(array.nbytes for array in found.values())
        if size <= self._room:
            self._room -= size
            self._kept[key] = found
        else:
            _keep(path, [found[name] for name in self._runner.output_names])
        return found


class Prompter:
    """Who computes what a learner is fed beside inputs and targets.

    Args:
        model: fed the inputs of the learner, and some of the teacher's answers.
        forced: the names of these.
        folder: where they are kept, as those of a teacher.
        threads: threads of the runtime; 0 lets it choose.
    """

    def __init__(
        self, model: ir.Model, forced: Sequence[str], folder: Path, threads: int = 0
    ) -> None:
        """Runs nothing yet."""
        self._model, self._forced = Teacher(model, folder, threads), forced

    def prompts(self, batch: Batch, answers: Arrays, key: str | None = None) -> Arrays:
        """Returns what the learner is fed with a batch; its key is that of the teacher."""
        inputs = {**batch.inputs, **{name: answers[name] for name in self._forced}}
        return self._model.answers(replace(batch, inputs=inputs), key and f"{key}-prompts")


@dataclass(frozen=True, slots=True)
class Lessons:
    """Batches of one size, with a target for every goal.

    The gradients of some operators (AveragePool) are wrong or fatal where the size of a batch is
    not known beforehand. So a short last batch is left out where samples are shuffled, and filled
    up by repeating its last sample elsewhere.

    Attributes:
        name: tells these batches from others for the teacher.
        data: the samples.
        size: samples a batch; None for calls, which come one at a time, as they are.
        goals: what is learned.
        teacher: who knows the targets; the labels where there is none.
        seed: of the order; None for that of the data. Data that cannot be divided keep theirs.
        change: how images are changed, in each epoch in another way; None for not at all.
        prompter: who computes what a learner is fed besides; None where that is nothing.
    """

    name: str
    data: Dataset
    size: int | None
    goals: Sequence[Goal | OwnLoss]
    teacher: Teacher | None
    seed: int | None = None
    change: Augmentation | None = None
    prompter: Prompter | None = None

    def taught(
        self, goals: Sequence[Goal | OwnLoss], teacher: Teacher | None, prompter: Prompter | None
    ) -> "Lessons":
        """Returns the same batches for a learner that is a part of the model."""
        name = f"{self.name}-learner"
        return replace(self, name=name, goals=goals, teacher=teacher, prompter=prompter)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        total, size = len(self.data), self.size or 1
        if self.seed is None or not divisible(self.data) or total < size:
            return -(-total // size)
        return total // size

    def epoch(self, number: int = 0) -> Generator[tuple[Arrays, int], None, None]:
        """Yields inputs and targets by name, and how many samples they are."""
        with closing(self._batches(number)) as batches:
            for index, batch in batches:
                whole = self._filled(batch)
                if self.change is not None:
                    whole = augmented(whole, self.change, number, index)
                yield {**whole.inputs, **self._beside(str(index), whole)}, batch.count

    def weighed(self) -> Generator[tuple[Arrays, int], None, None]:
        """Yields inputs and targets by name, and what their mean loss counts for in that of all.

        What fills up a short batch must count nothing. So a batch of nothing else comes after it,
        and counts for less than 0; with n samples in a batch of s, of which the last one is x,

            s mean(batch, x, ..., x) - (s - n) mean(x, ..., x) = sum(batch)
        """
        with closing(self._batches(0)) as batches:
            for index, batch in batches:
                whole, size = self._filled(batch), self.size or batch.count
                yield {**whole.inputs, **self._beside(str(index), whole)}, size
                if batch.count < size:
                    last = self._filled(batch.rows(slice(-1, None)))
                    yield {**last.inputs, **self._beside("last", last)}, batch.count - size

    def _filled(self, batch: Batch) -> Batch:
        """Returns a batch of full size, its last sample repeated where it was short."""
        short = self.size is not None and batch.count < self.size
        return padded(batch, self.size or 1) if short else batch

    def _batches(self, number: int) -> Generator[tuple[int, Batch], None, None]:
        """Yields the batches of an epoch, each with its place in the first one."""
        size = self.size or 1
        if self.seed is None or not divisible(self.data):
            yield from enumerate(self.data.batches(size))
            return
        order = np.random.default_rng(self.seed).permutation(len(self.data))
        for index in np.random.default_rng([self.seed, number]).permutation(len(self)):
            chosen = np.sort(order[index * size : (index + 1) * size])
            for batch in self.data.subset(chosen).batches(size):
                yield int(index), batch

    def _beside(self, index: str, batch: Batch) -> Arrays:
        """Returns the target of every goal for a batch, and what else the learner is fed."""
        key = f"{self.name}-{index}" if self.change is None else None
        known = {} if self.teacher is None else self.teacher.answers(batch, key)
        prompts = {} if self.prompter is None else self.prompter.prompts(batch, known, key)
        return targets_of(self.goals, batch, known) | prompts


def _keep(path: Path, arrays: Sequence[npt.NDArray[Any]]) -> None:
    """Writes arrays whole, or not at all where the disk has no room for them.

    Raises:
        TrainingError: it cannot be written there.
    """
    part = path.with_suffix(".part")
    size = sum(array.nbytes for array in arrays)
    try:
        if shutil.disk_usage(path.parent).free < size + _SPARE_BYTES:
            return
        with part.open("wb") as file:
            np.savez(file, *arrays)
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if error.errno not in _NO_ROOM:
            raise TrainingError(
                f"the teacher's answers cannot be kept in {path.parent}: {error.strerror}; set "
                "TMPDIR to a folder that can be written"
            ) from error
