"""The rooms in order: what the command line calls, and Python too.

prepare -> measure -> score -> choose -> cut -> verify -> evaluate -> report
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack, get_args

from onnxtrim.calibration import (
    DataSource,
    Measurements,
    Progress,
    Statistic,
    evaluate_pair,
    measure,
    paired_latency,
)
from onnxtrim.channels import ChannelMap, Code
from onnxtrim.clock import Clock
from onnxtrim.config import (
    DataConfig,
    DataOptions,
    PruneConfig,
    PruneOptions,
    data_config,
    prune_configs,
)
from onnxtrim.criteria import CRITERIA, Needs, score_groups
from onnxtrim.errors import BudgetError, DataError, ModelError, PlanError, UsageError
from onnxtrim.execute import Job, PruneResult, execute
from onnxtrim.graph import ModelSource
from onnxtrim.graph.shapes import Shape, dims
from onnxtrim.report import (
    SCHEMA,
    Comparison,
    Inspection,
    MetricValue,
    barrier_rows,
    frozen_rows,
    group_rows,
    side,
    uncounted_warnings,
    with_unit_costs,
)
from onnxtrim.selection import (
    Alignment,
    Choice,
    PrunePlan,
    alignments_of,
    choose,
    make_plan,
    removed_units,
)
from onnxtrim.subject import Subject, prepare

__all__ = ["PruneResult", "apply", "compare", "inspect", "prune"]

_OLDEST_OPSET = 7
"""Before it operators did not broadcast from the right, and the runtime has few of them left."""


def prune(
    model: ModelSource,
    data: DataSource | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[PruneOptions],
) -> PruneResult:
    """Returns `model` without the channels that matter least, within a budget, and proven.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        data: calibration inputs, a path or arrays; criteria on weights can do without.
        progress: called with (what, done, total).
        **options: the fields of `PruneConfig` and `DataConfig`, such as `macs=0.5`.

    Raises:
        UsageError: options are invalid or contradict each other.
        ModelError: the model cannot be used.
        DataError: the data cannot be used.
        BudgetError: no plan meets the budget.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    config, reading = prune_configs(options)
    criterion, clock = CRITERIA[config.criterion], Clock()
    alignments = alignments_of(config.align)
    if data is None and criterion.needs is Needs.ACTIVATIONS:
        raise UsageError(f"--criterion {criterion.name} measures activations; give --data")
    with clock("prepare"):
        subject = prepare(model, data, reading)
        _require_provable(subject)
        channel_map = _restricted(subject.channel_map, config)
        _require_groups(channel_map)
    with clock("measure"):
        found = _measured(subject, channel_map, criterion.statistics, reading, progress)
    with clock("choose"):
        scoring = score_groups(subject.model, channel_map, criterion, found, config.seed)
        choice = choose(channel_map, scoring.scores, subject.costs, config, alignments)
        weights = subject.model.graph.initializers
        plan = make_plan(channel_map, weights, choice.removed, subject.facts.sha256)
    job = Job(
        subject=subject,
        channel_map=channel_map,
        plan=plan,
        removed=choice.removed,
        alignment=choice.alignment,
        reading=reading,
        settings={**dataclasses.asdict(config), **dataclasses.asdict(reading)},
        scores=scoring.scores,
        measurements=found,
        warnings=scoring.warnings + _alignment_warnings(choice, alignments),
    )
    return execute(job, clock, progress)


def apply(
    model: ModelSource,
    plan: PrunePlan | str | os.PathLike[str],
    data: DataSource | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> PruneResult:
    """Returns `model` cut by a plan made before, for this or another checkpoint of its graph.

    Args:
        model: a path, bytes, `ModelProto`, `ir.Model` or graphsurgeon graph; never changed.
        plan: a plan, or the path of its JSON.
        data: inputs to prove and evaluate it on; without any it is proven on made-up ones.
        progress: called with (what, done, total).
        **options: the fields of `DataConfig`.

    Raises:
        PlanError: the plan cannot be read or does not fit the model.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    reading, clock = data_config(options), Clock()
    if not isinstance(plan, PrunePlan):
        plan = PrunePlan.from_json(_text(Path(plan)))
    with clock("prepare"):
        subject = prepare(model, data, reading)
        _require_provable(subject)
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
        settings=dataclasses.asdict(reading),
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
        found = _measured(subject, subject.channel_map, get_args(Statistic), reading, progress)
    whole = subject.channel_map.without(subject.channel_map.no_units)
    rows = group_rows(subject.channel_map, whole, alignments_of("auto")[0], None, found)
    return Inspection(
        schema=SCHEMA,
        model=subject.facts,
        cost=side(subject.costs.now(), subject.bytes),
        groups=with_unit_costs(rows, subject.channel_map, subject.costs),
        frozen=frozen_rows(subject.channel_map),
        barriers=barrier_rows(subject.channel_map),
        warnings=uncounted_warnings(subject.costs),
    )


def compare(
    before: ModelSource,
    after: ModelSource,
    data: DataSource | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[DataOptions],
) -> Comparison:
    """Returns cost, paired latency and, with `data`, quality of two models of one interface.

    Raises:
        ModelError: a model cannot be used.
        DataError: the data cannot be used, or the interfaces differ.
    """
    reading = data_config(options)
    old, new = prepare(before, data, reading), prepare(after, data, reading)
    if old.specs != new.specs or not _same_outputs(old, new):
        raise DataError(
            f"{old.facts.name} and {new.facts.name} have different inputs or outputs; compare "
            "models of one interface"
        )
    latency = paired_latency(old.model, new.model, old.single_input, threads=reading.threads)
    values: tuple[MetricValue | None, MetricValue | None] = (None, None)
    agreement = error = None
    if old.data is not None:
        result = evaluate_pair(
            old.model,
            new.model,
            old.data,
            batch_size=reading.batch_size,
            threads=reading.threads,
            progress=progress,
        )
        metric, agreement, error = result.metric, result.agreement, result.relative_error
        values = MetricValue(metric.name, metric.before), MetricValue(metric.name, metric.after)
    return Comparison(
        schema=SCHEMA,
        names=(old.facts.name, new.facts.name),
        before=side(old.costs.now(), old.bytes, latency.before, values[0]),
        after=side(new.costs.now(), new.bytes, latency.after, values[1]),
        latency_ratio=latency.ratio,
        agreement=agreement,
        relative_error=error,
    )


def _measured(
    subject: Subject,
    channel_map: ChannelMap,
    statistics: Sequence[Statistic],
    reading: DataConfig,
    progress: Progress | None,
) -> Measurements | None:
    """Returns `statistics` of the activations of all groups; None where there are none."""
    taps = [tap for group in channel_map.groups for tap in group.taps]
    if subject.data is None or not statistics or not taps:
        return None
    return measure(
        subject.model,
        taps,
        statistics,
        subject.data,
        batch_size=reading.batch_size,
        threads=reading.threads,
        progress=progress,
    )


def _alignment_warnings(choice: Choice, alignments: Sequence[Alignment]) -> tuple[str, ...]:
    """Returns a warning where the preferred alignment had to give way to the budget."""
    found = choice.alignment
    if found == alignments[0]:
        return ()
    return (
        f"the budget cannot be met in steps of {found.step} channels, which this runtime is fast "
        f"at; groups were cut below that in steps of {found.below}, which saves MACs but no time",
    )


def _restricted(channel_map: ChannelMap, config: PruneConfig) -> ChannelMap:
    """Returns the map with the groups frozen that the globs keep whole.

    Raises:
        UsageError: a glob matches nothing, so that it protects or chooses nothing.
    """
    for option, globs in (("--include", config.include), ("--exclude", config.exclude)):
        for glob in globs:
            if not channel_map.matches(glob):
                raise UsageError(
                    f"{option} {glob}: matches no group; inspect lists their names and tensors"
                )
    return channel_map.restricted(config.include, config.exclude)


def _require_provable(subject: Subject) -> None:
    """Raises ModelError where the runtime has no operators to prove a result with."""
    version = subject.model.opset_imports.get("", _OLDEST_OPSET)
    if version < _OLDEST_OPSET:
        raise ModelError(
            f"{subject.facts.name}: operator set {version} is older than {_OLDEST_OPSET}; convert "
            "the model by onnx.version_converter first"
        )


def _require_groups(channel_map: ChannelMap) -> None:
    """Raises BudgetError where nothing can be cut at all."""
    if channel_map.groups:
        return
    reasons = [group.reason for group in channel_map.frozen_groups if group.reason is not None]
    reasons = [*reasons, *channel_map.barriers]
    # That outputs stay is true of every model; what else is in the way says more.
    reasons.sort(key=lambda reason: (reason.code is Code.GRAPH_OUTPUT, reason.rank))
    why = f"{reasons[0]}, ..." if reasons else "no weight makes channels"
    raise BudgetError(f"nothing can be cut: {why}; inspect gives every reason")


def _same_outputs(old: Subject, new: Subject) -> bool:
    """Returns whether outputs agree in name, type, rank, and every size that both models state."""
    sides = [subject.model.graph.outputs for subject in (old, new)]
    if len(sides[0]) != len(sides[1]):
        return False
    return all(
        (a.name, a.dtype) == (b.name, b.dtype) and _compatible(dims(a), dims(b))
        for a, b in zip(*sides, strict=True)
    )


def _compatible(a: Shape | None, b: Shape | None) -> bool:
    """Returns whether two shapes can be those of one tensor, as far as they are stated."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(
        x is None or y is None or x == y for x, y in zip(a, b, strict=True)
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
