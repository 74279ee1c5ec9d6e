"""What a student learns, from what, and how well it does: everything but the training."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration import Dataset, batch_size, input_specs, split
from onnxtrim.calibration.data.dataset import batched
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.augment import augmentation_of
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.course import mean_loss
from onnxtrim.finetune.goals import Aim, aim_of, answering, relevant
from onnxtrim.finetune.lanes import lanes_of
from onnxtrim.finetune.lessons import Lessons, Teacher
from onnxtrim.finetune.losses import Slimming, with_loss
from onnxtrim.finetune.runtime.find import TrainingRuntime
from onnxtrim.finetune.slim import slimming_of
from onnxtrim.finetune.twin import lowered
from onnxtrim.finetune.twin.live_norms import own_statistics
from onnxtrim.graph.runtime import Arrays, Runner
from onnxtrim.graph.shapes import pinned, ranked

__all__ = ["HELD_OUT", "Study", "study_of", "with_weights"]

HELD_OUT = 0.1
"""The share of the samples that says which weights are the best."""

_STATISTICS_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class Study:
    """What is learned, and from what.

    Attributes:
        aim: what outputs are to become.
        lessons: batches to learn from.
        samples: the same without any targets, and with images as they are.
        exam: batches that are held out.
        size: samples a batch; 1 where they come in calls.
        alike: whether all batches have the same sizes.
        lanes: how many shares of a batch are learned from at once.
        threads: threads of the runtime; 0 lets it choose.
        slimming: what is added to the loss, whatever the samples.
    """

    aim: Aim
    lessons: Lessons
    samples: Lessons
    exam: Lessons
    size: int
    alike: bool
    lanes: int
    threads: int
    slimming: Slimming | None = None

    def loss(self, model: ir.Model) -> float:
        """Returns the mean loss of a model over the exam, in the current runtime."""
        scores = with_loss(answering(model, self.aim), self.aim.goals, self.slimming)
        runner = Runner(scores, threads=self.threads)
        (loss,) = runner.output_names
        return mean_loss((float(runner(a)[loss]), weight) for a, weight in self.exam.weighed())

    def settled(self, model: ir.Model, loss: float) -> tuple[ir.Model, float]:
        """Returns a model with the statistics that its normalisations have now, and its loss.

        As it was, where that is better: its loss is `loss`.
        """
        few = -(-_STATISTICS_SAMPLES // self.size)
        batches = (inputs for inputs, _ in itertools.islice(self.samples.epoch(), few))
        statistics = own_statistics(lowered(model), batches, self.threads)
        if not statistics:
            return model, loss
        changed = with_weights(model, statistics)
        found = self.loss(changed)
        return (changed, found) if found < loss else (model, loss)

    def sample(self) -> Arrays:
        """Returns the inputs of a share of a batch that is held out."""
        names = next(self.samples.epoch())[0].keys()
        arrays = self.share(next(self.exam.epoch())[0])
        return {name: arrays[name] for name in names}

    def share(self, arrays: Arrays) -> Arrays:
        """Returns what one lane gets of a batch."""
        if self.lanes == 1:
            return arrays
        return {name: array[: len(array) // self.lanes] for name, array in arrays.items()}

    def examined(self, model: ir.Model, sample: Arrays) -> ir.Model:
        """Returns a clone that answers what the aim is about, in the sizes of the sample.

        The more sizes are known, the more operators have a gradient: pooling, resampling, padding
        by `auto_pad`. Where batches differ in size, ranks are known at least.
        """
        asked = ranked(relevant(answering(model, self.aim), self.aim), sample)
        return pinned(asked, sample) if self.alike else asked


def study_of(
    student: ir.Model,
    teacher: ir.Model | None,
    data: Dataset,
    config: TuneConfig,
    reading: DataConfig,
    runtime: TrainingRuntime,
    folder: Path,
) -> Study:
    """Returns what a student learns from data and perhaps a teacher.

    Args:
        student: a normalised model.
        teacher: a model of the same interface, if there is one.
        data: samples.
        config: what to learn.
        reading: samples a batch, and threads.
        runtime: what knows the blocks of a loss of one's own.
        folder: takes what the teacher answers.

    Raises:
        UsageError: there is nothing to learn from, or nothing to slim by.
        DataError: the data cannot be used.
        TrainingError: no output is of real numbers.
    """
    specs, slimming = input_specs(student), slimming_of(student, config)
    training, held_out = split(data, HELD_OUT)
    wanted, threads = min(reading.batch_size, len(training)), reading.threads
    size = batch_size(specs, wanted) if batched(specs) else None
    aim = aim_of(student, teacher, held_out, specs, config, batch_size=wanted, runtime=runtime)
    change = augmentation_of(config, reading, specs, training, classes=aim.classes)
    knows = None if aim.labelled else Teacher(answering(teacher or student, aim), folder, threads)
    samples = Lessons("samples", training, size, (), None, config.seed)
    held = Lessons("held-out", held_out, size, (), None)
    return Study(
        aim=aim,
        lessons=Lessons("training", training, size, aim.goals, knows, config.seed, change),
        samples=samples,
        exam=Lessons("held-out", held_out, size, aim.goals, knows),
        size=size or 1,
        alike=size is not None or _alike(samples, held),
        lanes=lanes_of(student, specs, aim, config, size or 1, threads),
        threads=threads,
        slimming=slimming,
    )


def with_weights(model: ir.Model, weights: Mapping[str, npt.NDArray[Any]]) -> ir.Model:
    """Returns a clone with other values of some initializers, in the type that they have.

    Raises:
        TrainingError: a weight is of another shape.
    """
    clone = model.clone()
    for name, array in weights.items():
        value = clone.graph.initializers[name]
        value.const_value = ir.Tensor(_like(value, array), name=name)
    return clone


def _alike(*lessons: Lessons) -> bool:
    """Returns whether all batches have the same sizes."""
    batches = itertools.chain.from_iterable(each.epoch() for each in lessons)
    sizes = ({name: array.shape for name, array in arrays.items()} for arrays, _ in batches)
    first = next(sizes)
    return all(other == first for other in sizes)


def _like(value: ir.Value, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns new values of an initializer in its type.

    Raises:
        TrainingError: they are of another shape.
    """
    old = value.const_value
    if old is None or tuple(old.shape.numpy()) != array.shape:
        raise TrainingError(f"weight {value.name!r} came back as {array.shape}; please report it")
    return np.ascontiguousarray(array, dtype=old.dtype.numpy())
