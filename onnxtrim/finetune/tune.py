"""Fine-tuning: a student learns from labels or from a teacher, in a worker, and is looked at here.

    student -> its own statistics of normalisations, where they lower the loss
            -> twin -> loss in the graph -> worker: steps, looks at held-out samples, best weights
            -> weights by name into a clone of the student -> looked at by the current runtime

The student is kept where its twin learns nothing that it can use.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration import (
    Dataset,
    InputSpec,
    batch_size,
    first_batch,
    input_specs,
    split,
)
from onnxtrim.calibration.data.dataset import batched
from onnxtrim.config import DataConfig
from onnxtrim.errors import TrainingError
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.course import Course, Look, Pace, Record, learn, mean_loss
from onnxtrim.finetune.goals import Aim, aim_of
from onnxtrim.finetune.lessons import Lessons, Teacher
from onnxtrim.finetune.losses import with_loss
from onnxtrim.finetune.remote import RemoteTrainer
from onnxtrim.finetune.runtime import TrainingRuntime
from onnxtrim.finetune.twin import Twin, check_twin, twin_of
from onnxtrim.finetune.twin.fixed_norms import with_fixed_norms
from onnxtrim.finetune.twin.live_norms import own_statistics
from onnxtrim.graph import save
from onnxtrim.graph.logits import without_softmax
from onnxtrim.graph.runtime import Runner
from onnxtrim.graph.shapes import pinned

__all__ = ["HELD_OUT", "Tuned", "tune"]

HELD_OUT = 0.1
"""The share of the samples that says which weights are the best."""

_PROOF_SAMPLES = 8
_STATISTICS_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class Tuned:
    """A student that has learned, or the student as it was where it could not.

    Attributes:
        model: the student's graph, with the best weights that were seen.
        before: the loss on held-out samples at the start, in the current runtime.
        after: the same of `model`.
        looks: the loss there during the run, in the training runtime.
        steps: how many were taken.
        images_s: samples a second, reading and teacher included.
        interrupted: whether the run was ended by Ctrl-C.
        untrained: the weights that no gradient reaches, a sentence each.
        warnings: one sentence each.
    """

    model: ir.Model
    before: float
    after: float
    looks: tuple[Look, ...]
    steps: int
    images_s: float
    interrupted: bool
    untrained: tuple[str, ...]
    warnings: tuple[str, ...]


def tune(
    student: ir.Model,
    teacher: ir.Model | None,
    data: Dataset,
    config: TuneConfig,
    reading: DataConfig,
    runtime: TrainingRuntime,
    watch: Callable[[Pace], None] | None = None,
) -> Tuned:
    """Returns the student after it has learned from `data`; its graph stays as it is.

    Args:
        student: a normalised model.
        teacher: a model of the same interface, whose outputs are the targets where labels are not.
        data: samples; a tenth of them is held out, and says which weights are the best.
        config: what to learn, and how fast.
        reading: samples a batch, and threads.
        runtime: what trains.
        watch: called after each step.

    Raises:
        UsageError: there is nothing to learn from.
        DataError: the data cannot be used.
        TrainingError: nothing can be trained, or the training runtime fails before it has learned
            anything.
    """
    specs = input_specs(student)
    training, held_out = split(data, HELD_OUT)
    wanted, threads = min(reading.batch_size, len(training)), reading.threads
    size = batch_size(specs, wanted) if batched(specs) else None
    source = teacher or student
    aim = aim_of(source, held_out, specs, config, taught=teacher is not None, batch_size=wanted)
    with tempfile.TemporaryDirectory(prefix="onnxtrim-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        knows = None if aim.labelled else Teacher(_answering(source, aim), folder, threads)
        lessons = Lessons("training", training, size, aim.goals, knows, config.seed)
        exam = Lessons("held-out", held_out, size, aim.goals, knows)
        before = _loss_of(student, aim, exam, threads)
        start, known = _at_home(student, before, aim, exam, lessons, reading)
        twin = twin_of(start)
        check_twin(start, twin, first_batch(held_out, specs, _PROOF_SAMPLES)[0])
        graph = with_loss(_answering(with_fixed_norms(twin.model), aim), aim.goals)
        sized = graph if size is None else pinned(graph, next(exam.epoch())[0])
        course = Course(lessons, exam, config, folder / "best.npz", watch)
        record = Record([Look(0, known)])
        with RemoteTrainer(runtime, folder) as trainer:
            trainer.ask(
                "build",
                model=str(save(sized, folder / "twin.onnx")),
                folder=name,
                trainable=twin.trainable,
                optimizer=config.optimizer,
                weight_decay=config.weight_decay,
                threads=threads,
            )
            learn(trainer, course, record)
        model = _graduate(start, twin, course.best) if record.best.step else start
        after = _loss_of(model, aim, exam, threads)
    return _result(student, model, specs, held_out, (before, after), record, twin)


def _answering(model: ir.Model, aim: Aim) -> ir.Model:
    """Returns a model whose outputs are what the aim is about: scores, or all outputs."""
    return without_softmax(model) if aim.classes else model


def _loss_of(model: ir.Model, aim: Aim, exam: Lessons, threads: int) -> float:
    """Returns the mean loss of a model over an exam, in the current runtime."""
    runner = Runner(with_loss(_answering(model, aim), aim.goals), threads=threads)
    (loss,) = runner.output_names
    return mean_loss((float(runner(arrays)[loss]), count) for arrays, count in exam.epoch())


def _at_home(
    student: ir.Model,
    before: float,
    aim: Aim,
    exam: Lessons,
    lessons: Lessons,
    reading: DataConfig,
) -> tuple[ir.Model, float]:
    """Returns the student with the statistics that its normalisations have now, and its loss.

    As it was, where that is better: its loss is `before`.
    """
    few = -(-_STATISTICS_SAMPLES // reading.batch_size)
    inputs = {str(value.name) for value in student.graph.inputs}
    batches = (
        {name: array for name, array in arrays.items() if name in inputs}
        for arrays, _ in itertools.islice(lessons.epoch(), few)
    )
    statistics = own_statistics(twin_of(student).model, batches, reading.threads)
    if not statistics:
        return student, before
    settled = _with(student, statistics)
    loss = _loss_of(settled, aim, exam, reading.threads)
    return (settled, loss) if loss < before else (student, before)


def _graduate(student: ir.Model, twin: Twin, path: Path) -> ir.Model:
    """Returns a clone of the student with the weights that its twin was left with."""
    with np.load(path) as stored:
        weights = {name: stored[f"arr_{i}"] for i, name in enumerate(twin.trainable)}
    return _with(student, twin.restored(weights))


def _with(model: ir.Model, weights: Mapping[str, npt.NDArray[Any]]) -> ir.Model:
    """Returns a clone with other values of some initializers."""
    clone = model.clone()
    for name, array in weights.items():
        value = clone.graph.initializers[name]
        value.const_value = ir.Tensor(_like(value, array), name=name)
    return clone


def _like(value: ir.Value, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns new values of an initializer in its type.

    Raises:
        TrainingError: they are of another shape.
    """
    old = value.const_value
    if old is None or tuple(old.shape.numpy()) != array.shape:
        raise TrainingError(f"weight {value.name!r} came back as {array.shape}; please report it")
    return np.ascontiguousarray(array, dtype=old.dtype.numpy())


def _result(
    student: ir.Model,
    model: ir.Model,
    specs: list[InputSpec],
    held_out: Dataset,
    losses: tuple[float, float],
    record: Record,
    twin: Twin,
) -> Tuned:
    """Returns what came of a run; the student as it was where the result is of no use."""
    before, after = losses
    trouble = record.trouble
    warnings = [] if trouble is None else [f"stopped after step {record.steps}: {trouble}"]
    outputs = Runner(model)(first_batch(held_out, specs, 1)[0])
    finite = all(np.isfinite(a).all() for a in outputs.values() if a.dtype.kind == "f")
    if not (finite and after < before):
        warnings.append(
            f"nothing was learned: the loss on held-out samples was {before:.4g}, and became no "
            "less; the model is as it was; try a lower --lr"
        )
        model, after = student, before
    return Tuned(
        model=model,
        before=before,
        after=after,
        looks=tuple(record.looks),
        steps=record.steps,
        images_s=record.samples / record.seconds if record.seconds else 0.0,
        interrupted=record.interrupted,
        untrained=tuple(f"{one.weight}: {one.reason} ({one.node})" for one in twin.untrained),
        warnings=tuple(warnings),
    )
