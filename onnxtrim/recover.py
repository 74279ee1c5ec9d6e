"""A model -> what it is once it has learned again: tune -> judge on samples held out -> report.

Where it was pruned in the same run, the model as it was is the teacher.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxtrim.calibration import Dataset, DataSource, Judge, open_data, split
from onnxtrim.calibration.data.dataset import divisible
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.finetune import TrainingRuntime
from onnxtrim.finetune.artifacts import check_free
from onnxtrim.finetune.augment import augmentation_of
from onnxtrim.finetune.config import TuneConfig
from onnxtrim.finetune.course import Pace
from onnxtrim.finetune.goals import aim_of
from onnxtrim.finetune.slim import size_of, slimming_of
from onnxtrim.finetune.study import HELD_OUT
from onnxtrim.finetune.tune import tune
from onnxtrim.finetune.twin import twin_beside
from onnxtrim.report import (
    SCHEMA,
    Change,
    ModelFacts,
    Tuning,
    data_facts,
    environment,
    skipped_warnings,
)
from onnxtrim.subject import Subject

__all__ = ["Recovery", "recovered", "recovery_of"]

_FEW = 8


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a model learns again.

    Attributes:
        runtime: what trains.
        data: what is learned from; a tenth is held out to judge by.
        config: what is learned, and how fast.
        reading: samples a batch, and threads.
        watch: called after each step.
        warnings: one sentence each.
    """

    runtime: TrainingRuntime
    data: Dataset
    config: TuneConfig
    reading: DataConfig
    watch: Callable[[Pace], None] | None = None
    warnings: tuple[str, ...] = ()


def recovery_of(
    subject: Subject,
    source: DataSource | None,
    config: TuneConfig,
    runtime: TrainingRuntime,
    pruning: PruneConfig,
    reading: DataConfig,
    watch: Callable[[Pace], None] | None,
) -> Recovery:
    """Returns how a model will learn again once it is cut; what cannot work is said now.

    Args:
        subject: the model, and its calibration data.
        source: samples to learn from, all that there are. Without any, those are calibration data,
            but for the ones by which a drop of the metric is judged.
        config: what is learned, and how fast.
        runtime: what trains.
        pruning: what is removed.
        reading: how data are read.
        watch: called after each step.

    Raises:
        UsageError: an option of fine-tuning does not fit the model or the data.
        DataError: the samples cannot be used.
        TrainingError: there is nothing to train, or nothing to train by.
    """
    warnings: tuple[str, ...] = ()
    if source is not None:
        data = open_data(source, subject.specs, replace(reading, samples=None))
        warnings = skipped_warnings(data)
    elif subject.data is not None:
        data = subject.data if pruning.max_drop is None else split(subject.data)[0]
        warnings = (
            f"it was tuned on {len(data)} calibration samples, for want of --train-data: few to "
            "learn from, and the figures may be of samples that it has learned",
        )
    else:
        raise ValueError("there are no samples to learn from")
    if config.keep_artifacts is not None:
        check_free(Path(config.keep_artifacts))
    few = data.subset(np.arange(min(_FEW, len(data)))) if divisible(data) else data
    model, specs = subject.model, subject.specs
    slimming_of(model, config)
    aim = aim_of(model, model, few, specs, config, batch_size=_FEW, runtime=runtime)
    augmentation_of(config, reading, specs, data, classes=aim.classes)
    twin_beside(model, model, subject.proof_inputs)
    return Recovery(runtime, data, config, reading, watch, warnings)


def recovered(
    student: ir.Model, model: ModelFacts, teacher: Subject | None, recovery: Recovery
) -> tuple[ir.Model, Tuning]:
    """Returns a model after it has learned, and what it learned.

    Args:
        student: a normalised model.
        model: what the report says that it is.
        teacher: a model of the same interface, where it learns from one.
        recovery: how it learns.

    Raises:
        UsageError: there is nothing to learn from.
        DataError: the data cannot be used.
        TrainingError: nothing can be trained, or the training runtime fails before it has learned
            anything.
    """
    start = time.perf_counter()
    config, reading, data = recovery.config, recovery.reading, recovery.data
    master = None if teacher is None else teacher.model
    tuned = tune(student, master, data, config, reading, recovery.runtime, recovery.watch)
    held_out = split(data, HELD_OUT)[1]
    judge = Judge(
        master or student, held_out, batch_size=reading.batch_size, threads=reading.threads
    )
    before, after = judge(student).metric, judge(tuned.model).metric
    judged = master is not None or after.name == "accuracy"  # else only by what it was itself
    metric = Change(after.name, before.after, after.after) if judged else None
    slimming = slimming_of(student, config)
    scales = () if slimming is None else slimming.scales
    sizes = (size_of(each, scales) for each in (student, tuned.model))
    warnings = recovery.warnings
    if held_out is data:
        warnings += (
            f"{len(data)} samples are too few to hold some out; the figures are of samples that it "
            "has learned",
        )
    tuning = Tuning(
        schema=SCHEMA,
        model=model,
        teacher=None if teacher is None else teacher.facts,
        settings={**asdict(config), **asdict(reading)},
        learned_from=tuned.learned_from,
        metric=metric,
        loss=Change(tuned.loss, tuned.before, tuned.after),
        looks=tuned.looks,
        epochs=len(tuned.looks) - 1,
        steps=tuned.steps,
        images_s=tuned.images_s,
        seconds=time.perf_counter() - start,
        interrupted=tuned.interrupted,
        untrained=tuned.untrained,
        environment=environment() | {"onnxruntime-training": recovery.runtime.version},
        data=data_facts(data, held_out),
        cuts=tuned.cuts,
        scales=Change("BatchNormalization scales", *sizes) if scales else None,
        warnings=warnings + tuned.warnings,
    )
    return tuned.model, tuning
