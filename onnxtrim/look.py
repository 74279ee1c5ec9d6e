"""What only looks at models: what can be cut, what that would do, and how two of them compare."""

from typing import Unpack, get_args

from onnxtrim.calibration import (
    DataSource,
    MetricFunction,
    Progress,
    Statistic,
    metric_function,
    paired_latency,
)
from onnxtrim.checks import require_curves, require_groups, restricted
from onnxtrim.config import (
    DEFAULT_CRITERION,
    CriterionName,
    DataOptions,
    PruneConfig,
    data_config,
)
from onnxtrim.graph import ModelSource
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
from onnxtrim.search import Bench, curves_of, judge_of, measured, measured_for, scored_by
from onnxtrim.selection import alignments_of, queues_of
from onnxtrim.subject import prepare

__all__ = ["compare", "inspect", "sensitivity"]


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
