"""The rooms in order: what the command line calls, and Python too.

prepare -> measure -> score -> choose -> cut -> verify -> tune -> evaluate -> report
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from onnxtrim.calibration import DataSource, MetricFunction, Progress, metric_function
from onnxtrim.checks import require_provable
from onnxtrim.clock import Clock
from onnxtrim.config import Compensate, DataOptions, PruneConfig, data_config
from onnxtrim.errors import PlanError, UsageError
from onnxtrim.execute import Job, PruneResult, execute
from onnxtrim.finetune import find_runtime
from onnxtrim.finetune.config import TuneOptions, tune_configs
from onnxtrim.finetune.course import Pace
from onnxtrim.finetune.result import TuneResult
from onnxtrim.graph import ModelSource
from onnxtrim.look import compare, inspect, sensitivity
from onnxtrim.mend import mending_of
from onnxtrim.recover import Recovery, recovered, recovery_of
from onnxtrim.schedule.config import RunOptions, run_config
from onnxtrim.schedule.course import Run
from onnxtrim.schedule.follow import (
    followed,
    groups_of,
    require_folder,
    require_run,
    settings_of,
    workplace,
)
from onnxtrim.schedule.recipe import recipe_of
from onnxtrim.search import judge_of
from onnxtrim.selection import PrunePlan, make_plan, removed_units
from onnxtrim.subject import prepare

__all__ = [
    "PruneResult",
    "TuneResult",
    "apply",
    "compare",
    "fine_tune",
    "inspect",
    "prune",
    "sensitivity",
]


def prune(
    model: ModelSource,
    data: DataSource | None = None,
    *,
    train_data: DataSource | None = None,
    metric: MetricFunction | str | None = None,
    recipe: str | None = None,
    workdir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    watch: Callable[[Pace], None] | None = None,
    **options: Unpack[RunOptions],
) -> PruneResult:
    """Returns `model` without the channels that matter least, within a budget, and proven.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        data: calibration inputs, a path or arrays; criteria on weights can do without.
        train_data: what `finetune` learns from; the calibration inputs by default.
        metric: what `max_drop` and the report go by: a function of an `onnx.ModelProto`, or its
            `module:function`; accuracy, agreement or output error by default.
        recipe: a published procedure by its name, or a file of one; `options` go before it.
        workdir: a folder that keeps what a run has come to after every step.
        resume: go on with the run in `workdir`, if there is one.
        progress: called with (what, done, total).
        watch: called after each step of tuning with how far it is.
        **options: the fields of `PruneConfig`, `LoopConfig` and `DataConfig`, such as `macs=0.5`;
            those of `TuneConfig` too, with `finetune=True`.

    Raises:
        UsageError: options are invalid or contradict each other.
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
        BudgetError: no plan meets the budget.
        TrainingError: there is no training runtime, or nothing to train by.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    config = run_config(options if recipe is None else recipe_of(recipe).under(options))
    config = require_run(config, data=data is not None, train_data=train_data is not None)
    path, function, clock = require_folder(workdir, resume=resume), metric_function(metric), Clock()
    settings = settings_of(config, recipe)
    lesson = None if config.tuning is None else (config.tuning, find_runtime())
    with clock("prepare"):
        subject = prepare(model, data, config.reading)
        require_provable(subject)
        channel_map = groups_of(subject, config.pruning)
        recovery = lesson and recovery_of(
            subject, train_data, *lesson, config.pruning, config.reading, watch
        )
    folder = workplace(path, subject, config, recovery)
    run = Run(subject, channel_map, config, settings, function, recovery)
    return followed(run, folder, clock, progress, resume=resume)


def apply(
    model: ModelSource,
    plan: PrunePlan | str | os.PathLike[str],
    data: DataSource | None = None,
    *,
    compensate: Compensate = "auto",
    metric: MetricFunction | str | None = None,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> PruneResult:
    """Returns `model` cut by a plan made before, for this or another checkpoint of its graph.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        plan: a plan, or the path of its JSON.
        data: inputs to prove, compensate and evaluate it on; without any it is proven on made-up
            ones, and not compensated.
        compensate: what makes good for the channels that are gone, as in `prune`.
        metric: what the report goes by, as in `prune`.
        progress: called with (what, done, total).
        **options: the fields of `DataConfig`.

    Raises:
        PlanError: the plan cannot be read or does not fit the model.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    reading, clock = data_config(options), Clock()
    config = PruneConfig(compensate=compensate)
    if not isinstance(plan, PrunePlan):
        plan = PrunePlan.from_json(_text(Path(plan)))
    with clock("prepare"):
        subject = prepare(model, data, reading)
        require_provable(subject)
        removed = removed_units(subject.channel_map, plan)
        weights = subject.model.graph.initializers
        full = make_plan(subject.channel_map, weights, removed, subject.facts.sha256)
    job = Job(
        subject=subject,
        channel_map=subject.channel_map,
        plan=full,
        removed=removed,
        alignment=None,
        reading=reading,
        settings={"compensate": compensate, **dataclasses.asdict(reading)},
        judge=judge_of(subject, subject.data, metric_function(metric), reading),
        mending=mending_of(config, subject.data, {}),
    )
    return execute(job, clock, progress)


def fine_tune(
    model: ModelSource,
    data: DataSource,
    teacher: ModelSource | None = None,
    *,
    watch: Callable[[Pace], None] | None = None,
    **options: Unpack[TuneOptions],
) -> TuneResult:
    """Returns `model` after it has learned from labels, or from a teacher without any.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        data: samples to learn from, a path or arrays; a tenth is held out to judge by.
        teacher: the model as it was before it was pruned.
        watch: called after each step with how far it is.
        **options: the fields of `TuneConfig` and `DataConfig`, such as `epochs=2`.

    Raises:
        UsageError: options are invalid, or there are neither labels nor a teacher.
        ModelError: a model cannot be used.
        DataError: the data cannot be used, or the interfaces differ.
        TrainingError: there is no training runtime, it fails, or nothing can be trained.
    """
    config, reading = tune_configs(options)
    runtime = find_runtime()
    student = prepare(model, data, reading)
    master = None if teacher is None else prepare(teacher, None, reading, beside=student)
    if student.data is None:
        raise UsageError("there are no samples to learn from; give --data")
    recovery = Recovery(runtime, student.data, config, reading, watch)
    tuned, report = recovered(student.model, student.facts, master, recovery)
    sources = student.sources + (() if master is None else master.sources)
    return TuneResult(tuned, report, sources)


def _text(path: Path) -> str:
    """Returns the text of a plan file.

    Raises:
        PlanError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: the plan cannot be read ({error}); check the path") from error
