"""Fine-tuning: a student learns from labels or from a teacher, in a worker, and is looked at here.

    student -> its own statistics of normalisations, where they lower the loss
            -> twin -> loss in the graph -> worker: steps, looks at held-out samples, best weights
            -> weights by name into a clone of the student -> its own statistics again
            -> looked at by the current runtime

The student is kept where its twin learns nothing that it can use. With slimming the last weights
are taken: by the loss of the task, the best ones could be those that were slimmed least.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration import Dataset
from onnxtrim.config import DataConfig
from onnxtrim.errors import OutputError, TrainingError
from onnxtrim.finetune.artifacts import check_free, keep_artifacts
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.course import Course, Pace, Record, learn, look_at
from onnxtrim.finetune.lanes import goes_by_batches
from onnxtrim.finetune.learner import Task, learners_task
from onnxtrim.finetune.lessons import Lessons
from onnxtrim.finetune.losses import with_loss
from onnxtrim.finetune.runtime.find import TrainingRuntime
from onnxtrim.finetune.runtime.remote import RemoteTrainer
from onnxtrim.finetune.scratch import scratch
from onnxtrim.finetune.study import Study, study_of, with_weights
from onnxtrim.finetune.twin import Twin, check_twin, twin_beside
from onnxtrim.finetune.twin.fixed_norms import with_fixed_norms
from onnxtrim.graph import save
from onnxtrim.graph.runtime import Runner
from onnxtrim.graph.shapes import pinned
from onnxtrim.report import Look

__all__ = ["Tuned", "tune"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """A student that has learned, or the student as it was where it could not.

    Attributes:
        model: the student's graph, with the best weights that were seen.
        loss: what was made small, by the name of its option.
        learned_from: `labels`, `teacher` or both.
        before: the loss on held-out samples at the start, in the current runtime.
        after: the same of `model`.
        looks: the loss there during the run, in the training runtime.
        steps: how many were taken.
        images_s: samples a second, reading and teacher included.
        interrupted: whether the run was ended by Ctrl-C.
        cuts: where gradients end, so that what lies before learns from the teacher's activations, a
            sentence each.
        untrained: the weights that no gradient reaches, a sentence each.
        warnings: one sentence each.
    """

    model: ir.Model
    loss: str
    learned_from: tuple[str, ...]
    before: float
    after: float
    looks: tuple[Look, ...]
    steps: int
    images_s: float
    interrupted: bool
    cuts: tuple[str, ...]
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
        teacher: a model of the same interface, whose outputs are the targets where labels are not;
            with slimming the student itself, where there is neither.
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
    if config.keep_artifacts is not None:
        check_free(Path(config.keep_artifacts))
    with scratch() as folder:
        if teacher is None and config.slim and not data.labelled:
            teacher = student  # it only has to stay what it is, and become slim
        study = study_of(student, teacher, data, config, reading, runtime, folder)
        before = study.loss(student)
        start, first = study.settled(student, before)
        if not math.isfinite(first):
            raise TrainingError(
                f"the loss on held-out samples is {first} before the first step; look at how data "
                "are prepared (--scale, --mean, --std), and at what the model answers to them"
            )
        twin, task = _twin_of(start, teacher, study, folder)
        if twin.parted and study.lanes > 1:  # what a prompter computes need not begin with samples
            study = replace(study, lanes=1)
            twin, task = _twin_of(start, teacher, study, folder)
        live = goes_by_batches(config, study.size)
        moving = twin.statistics if live else ()
        course = Course(task.lessons, task.exam, config, folder / "best.npz", watch)
        record = Record([] if twin.parted else [Look(0, first)])
        learner = twin.learner if live else with_fixed_norms(twin.learner)
        graph = with_loss(learner, task.goals, study.slimming)
        with RemoteTrainer(runtime, folder) as trainer:
            path = save(_sized(graph, study, task.exam), folder / "twin.onnx")
            _build(trainer, path, twin.trainable, moving, config, study)
            _teach(trainer, course, record, first_look=twin.parted)
        names = (*twin.trainable, *moving)
        learned = [_with_saved(start, names, path) for path in _saved(course, record)]
        grown = [study.settled(model, study.loss(model)) for model in learned]
        model, after = _taken((start, first), grown, slimmed=course.slimmed)
        losses, settled_only = (before, after), model is start
        return _result(student, model, study, losses, record, twin, settled_only=settled_only)


def _twin_of(
    student: ir.Model, teacher: ir.Model | None, study: Study, folder: Path
) -> tuple[Twin, Task]:
    """Returns the twin of a student, which is proven to be one, and what its learner is taught."""
    sample = study.sample()
    scores = study.examined(student, sample)
    master = None if teacher is None else study.examined(teacher, sample)
    twin, knowing = twin_beside(scores, master, sample)
    check_twin(scores, twin, sample)
    task = Task(study.aim.goals, study.lessons, study.exam)
    return twin, learners_task(twin, task, knowing, folder, study.threads)


def _build(
    trainer: RemoteTrainer,
    path: Path,
    trainable: Sequence[str],
    statistics: Sequence[str],
    config: TuneConfig,
    study: Study,
) -> None:
    """Has what trains the model at `path` built beside it."""
    trainer.ask(
        "build",
        model=str(path),
        folder=str(path.parent),
        trainable=trainable,
        statistics=statistics,
        optimizer=config.optimizer,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        clip=config.clip,
        keep_zeros=config.keep_zeros,
        lanes=study.lanes,
        threads=study.threads,
    )


def _teach(trainer: RemoteTrainer, course: Course, record: Record, *, first_look: bool) -> None:
    """Has a learner trained, and keeps what training can go on from where that is wanted.

    Artifacts that cannot be kept are a trouble to be noted: what was learned is worth more.
    """
    trainer.ask("save", path=str(course.best))
    if first_look:
        look_at(trainer, course, record)
    learn(trainer, course, record)
    if not record.troubles and (record.late or course.config.slim):
        trainer.ask("save", path=str(course.last))
    if course.config.keep_artifacts is None:
        return
    try:
        weights = course.last if course.slimmed else course.best
        keep_artifacts(trainer, weights, Path(course.config.keep_artifacts))
    except (OutputError, TrainingError) as error:
        record.troubles.append(f"the artifacts were not kept: {error}")


def _sized(model: ir.Model, study: Study, exam: Lessons) -> ir.Model:
    """Returns a learner with a loss in the sizes of a share, where all batches have the same."""
    if not study.alike:
        return model
    arrays = study.share(next(exam.epoch())[0])
    names = [str(value.name) for value in model.graph.inputs]
    return pinned(model, {name: arrays[name] for name in names})


def _saved(course: Course, record: Record) -> list[Path]:
    """Returns the weights that may be worth having: the best, and the last ones where they are not.

    Looks go by the running statistics of normalisations, which are behind the weights. Once they
    are measured, the last weights may be better than those that looked so. With slimming they are
    the result in any case.
    """
    if course.slimmed:
        return [course.last]
    best = [course.best] if record.best.step else []
    return [*best, course.last] if course.last.exists() else best


def _taken(
    start: tuple[ir.Model, float], grown: Sequence[tuple[ir.Model, float]], *, slimmed: bool
) -> tuple[ir.Model, float]:
    """Returns the model of the least loss, and this; one that was slimmed if there is any."""
    if slimmed and math.isfinite(grown[0][1]):
        return grown[0]
    return min([start, *grown], key=lambda pair: _order(pair[1]))


def _order(loss: float) -> float:
    """Returns what losses are compared by; what is no number comes last."""
    return loss if math.isfinite(loss) else math.inf


def _with_saved(student: ir.Model, names: Sequence[str], path: Path) -> ir.Model:
    """Returns a clone of the student with what its twin was left with, in the order of `names`."""
    with np.load(path) as stored:
        weights = {name: stored[f"arr_{i}"] for i, name in enumerate(names)}
    return with_weights(student, weights)


def _result(
    student: ir.Model,
    model: ir.Model,
    study: Study,
    losses: tuple[float, float],
    record: Record,
    twin: Twin,
    *,
    settled_only: bool,
) -> Tuned:
    """Returns what came of a run; the student as it was where the result is of no use."""
    before, after = losses
    warnings = list(record.troubles)
    outputs = Runner(model)(study.sample())
    finite = all(np.isfinite(a).all() for a in outputs.values() if a.dtype.kind == "f")
    slimmed = study.slimming is not None and not settled_only
    if not (finite and (slimmed or after < before)):
        advice = "try a lower --lr" if before else "there is nothing left to learn"
        warnings.append(
            f"nothing was learned: the loss on held-out samples was {before:.4g}, and became no "
            f"less; the model is as it was; {advice}"
        )
        model, after = student, before
    elif settled_only:
        warnings.append(
            "no step made the loss on held-out samples less: only the means and variances of "
            "BatchNormalization are new; try a lower --lr"
        )
    at_cuts = ("teacher",) if twin.cuts else ()
    return Tuned(
        model=model,
        loss=study.aim.loss,
        learned_from=tuple(dict.fromkeys((*study.aim.learned_from, *at_cuts))),
        before=before,
        after=after,
        looks=tuple(record.looks),
        steps=record.steps,
        images_s=record.samples / record.seconds if record.seconds else 0.0,
        interrupted=record.interrupted,
        cuts=tuple(
            f"trained up to {cut.tensor!r}, before {cut.operator} {cut.node!r}: against the "
            "teacher's activations there"
            for cut in twin.cuts
        ),
        untrained=tuple(f"{one.weight}: {one.reason} ({one.node})" for one in twin.untrained),
        warnings=tuple(warnings),
    )
