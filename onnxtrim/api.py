"""The rooms in order: what the command line calls, and Python too.

prepare -> measure -> score -> choose -> cut -> verify -> tune -> evaluate -> report
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Unpack, get_args

from onnxtrim.calibration import (
    DataSource,
    MetricFunction,
    Progress,
    Statistic,
    metric_function,
    paired_latency,
)
from onnxtrim.channels import ChannelMap
from onnxtrim.checks import (
    require_curves,
    require_data,
    require_groups,
    require_lessons,
    require_provable,
    restricted,
)
from onnxtrim.clock import Clock
from onnxtrim.config import (
    DEFAULT_CRITERION,
    DEFAULT_DROP,
    Compensate,
    CriterionName,
    DataConfig,
    DataOptions,
    PruneConfig,
    data_config,
)
from onnxtrim.errors import PlanError, UsageError
from onnxtrim.execute import Job, PruneResult, execute
from onnxtrim.finetune import find_runtime
from onnxtrim.finetune.config import RecoveryOptions, TuneOptions, recovery_configs, tune_configs
from onnxtrim.finetune.course import Pace
from onnxtrim.finetune.result import TuneResult
from onnxtrim.graph import ModelSource
from onnxtrim.mend import mending_of
from onnxtrim.recover import Recovery, recovered, recovery_of
from onnxtrim.report import (
    SCHEMA,
    Comparison,
    Inspection,
    MetricValue,
    Sensitivity,
    barrier_rows,
    data_facts,
    frozen_rows,
    group_rows,
    side,
    skipped_warnings,
    uncounted_warnings,
    with_unit_costs,
)
from onnxtrim.search import (
    Bench,
    Decision,
    curves_of,
    decide,
    judge_of,
    measured,
    measured_for,
    scored_by,
)
from onnxtrim.selection import PrunePlan, alignments_of, make_plan, queues_of, removed_units
from onnxtrim.sparsify import SparseJob, sparsify
from onnxtrim.subject import Subject, prepare

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
    progress: Progress | None = None,
    watch: Callable[[Pace], None] | None = None,
    **options: Unpack[RecoveryOptions],
) -> PruneResult:
    """Returns `model` without the channels that matter least, within a budget, and proven.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        data: calibration inputs, a path or arrays; criteria on weights can do without.
        train_data: what `finetune` learns from; the calibration inputs by default.
        metric: what `max_drop` and the report go by: a function of an `onnx.ModelProto`, or its
            `module:function`; accuracy, agreement or output error by default.
        progress: called with (what, done, total).
        watch: called after each step of tuning with how far it is.
        **options: the fields of `PruneConfig` and `DataConfig`, such as `macs=0.5`; those of
            `TuneConfig` too, with `finetune=True`.

    Raises:
        UsageError: options are invalid or contradict each other.
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
        BudgetError: no plan meets the budget.
        TrainingError: there is no training runtime, or nothing to train by.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    config, tuning, reading = recovery_configs(options)
    function, clock = metric_function(metric), Clock()
    require_lessons(config, data=data is not None, train_data=train_data is not None)
    if data is None:
        require_data(config)
    if not config.asks:
        config = dataclasses.replace(config, max_drop=DEFAULT_DROP)
    if config.sparse:
        bench = SparseJob(config, tuning, reading, train_data, function, progress, watch)
        return sparsify(model, data, bench, clock)
    lesson = None if tuning is None else (tuning, find_runtime())
    with clock("prepare"):
        subject = prepare(model, data, reading)
        require_provable(subject)
        channel_map = restricted(subject.channel_map, config)
        require_groups(channel_map)
        recovery = lesson and recovery_of(subject, train_data, *lesson, config, reading, watch)
    decision = decide(subject, channel_map, config, reading, function, clock, progress)
    job = _job(subject, channel_map, decision, config, reading)
    return execute(dataclasses.replace(job, recovery=recovery), clock, progress)


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


def inspect(
    model: ModelSource,
    data: DataSource | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> Inspection:
    """Returns the groups of `model`, their costs, and why what is frozen is frozen.

    With `data`, the mean statistics of each group's activations too.

    Raises:
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
    """
    reading = data_config(options)
    subject = prepare(model, data, reading)
    found = None
    if data is not None:
        taps = [tap for group in subject.channel_map.groups for tap in group.taps]
        found = measured(subject, taps, get_args(Statistic), subject.data, reading, progress)
    whole = subject.channel_map.without(subject.channel_map.no_units)
    rows = group_rows(subject.channel_map, whole, alignments_of("auto")[0], None, found)
    return Inspection(
        schema=SCHEMA,
        model=subject.facts,
        cost=side(subject.costs.now(), subject.bytes),
        groups=with_unit_costs(rows, subject.channel_map, subject.costs),
        frozen=frozen_rows(subject.channel_map),
        barriers=barrier_rows(subject.channel_map),
        warnings=skipped_warnings(subject.data) + uncounted_warnings(subject.costs),
    )


def sensitivity(
    model: ModelSource,
    data: DataSource,
    *,
    points: int = 5,
    criterion: CriterionName = DEFAULT_CRITERION,
    max_layer_ratio: float = 0.9,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    seed: int = 0,
    metric: MetricFunction | str | None = None,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> Sensitivity:
    """Returns how the metric falls as more and more of each group goes, all else left whole.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        data: samples, a path or arrays.
        points: how many shares are tried, evenly up to `max_layer_ratio`.
        criterion: what says which units go first.
        max_layer_ratio: the largest share.
        include: only groups that one of these globs matches are tried.
        exclude: groups that one of these globs matches are not.
        seed: of random scores.
        metric: what is looked at, as in `prune`.
        progress: called with (what, done, total).
        **options: the fields of `DataConfig`.

    Raises:
        UsageError: options are invalid.
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
    """
    reading = data_config(options)
    config = PruneConfig(
        criterion=criterion,
        max_layer_ratio=max_layer_ratio,
        include=include,
        exclude=exclude,
        seed=seed,
    )
    rule = require_curves(config, points)
    subject = prepare(model, data, reading)
    channel_map = restricted(subject.channel_map, config)
    require_groups(channel_map)
    judge = judge_of(subject, subject.data, metric_function(metric), reading)
    bench = Bench(subject, channel_map, judge, reading)
    scoring = scored_by(bench, rule, measured_for(bench, [rule], subject.data, progress), config)
    queues = queues_of(channel_map, scoring.scores, config)
    whole = bench.quality(channel_map.no_units).metric
    return Sensitivity(
        schema=SCHEMA,
        model=subject.facts,
        whole=MetricValue(whole.name, whole.before),
        curves=curves_of(bench, queues, config, points, progress),
        data={} if subject.data is None else data_facts(subject.data),
        warnings=scoring.warnings + skipped_warnings(subject.data),
    )


def compare(
    before: ModelSource,
    after: ModelSource,
    data: DataSource | None = None,
    *,
    metric: MetricFunction | str | None = None,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> Comparison:
    """Returns cost, paired latency and, with `data`, quality of two models of one interface.

    Raises:
        ModelError: a model cannot be used.
        DataError: the data cannot be used, or the interfaces differ.
    """
    reading = data_config(options)
    old = prepare(before, data, reading)
    new = prepare(after, None, reading, beside=old)
    latency = paired_latency(old.model, new.model, old.single_input, threads=reading.threads)
    values: tuple[MetricValue | None, MetricValue | None] = (None, None)
    agreement = error = None
    judge = judge_of(old, old.data, metric_function(metric), reading)
    if judge is not None:
        result = judge(new.model, progress)
        name, agreement, error = result.metric.name, result.agreement, result.relative_error
        values = MetricValue(name, result.metric.before), MetricValue(name, result.metric.after)
    return Comparison(
        schema=SCHEMA,
        names=(old.facts.name, new.facts.name),
        before=side(old.costs.now(), old.bytes, latency.before, values[0]),
        after=side(new.costs.now(), new.bytes, latency.after, values[1]),
        latency_ratio=latency.ratio,
        agreement=agreement,
        relative_error=error,
    )


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


def _job(
    subject: Subject,
    channel_map: ChannelMap,
    decision: Decision,
    config: PruneConfig,
    reading: DataConfig,
) -> Job:
    """Returns what is to be done about a decision."""
    removed, weights = decision.choice.removed, subject.model.graph.initializers
    moments = {} if decision.measurements is None else decision.measurements.moments
    return Job(
        subject=subject,
        channel_map=channel_map,
        plan=make_plan(channel_map, weights, removed, subject.facts.sha256),
        removed=removed,
        alignment=decision.choice.alignment,
        reading=reading,
        settings={**dataclasses.asdict(config), **dataclasses.asdict(reading)},
        judge=decision.judge,
        scores=decision.scores,
        measurements=decision.measurements,
        warnings=decision.warnings,
        candidates=decision.candidates,
        latency=decision.latency,
        held_out=decision.held_out,
        mending=mending_of(config, decision.learning, moments),
        allocations=decision.allocations,
    )


def _text(path: Path) -> str:
    """Returns the text of a plan file.

    Raises:
        PlanError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: the plan cannot be read ({error}); check the path") from error
