"""Options -> what to remove: measure, score, share out, meet the budgets.

prepare -> [ measure -> score -> choose ] -> cut -> verify -> evaluate -> report
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnxtrim.calibration import (
    Dataset,
    Judge,
    LatencyPair,
    Measurements,
    MetricFunction,
    Progress,
    split,
)
from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.clock import Clock
from onnxtrim.config import Allocation, DataConfig, PruneConfig
from onnxtrim.criteria import CRITERIA, Scores, Scoring
from onnxtrim.errors import BudgetError
from onnxtrim.graph.save import saved_bytes
from onnxtrim.report import CandidateRow
from onnxtrim.search.allocation import shared_by_error, tried
from onnxtrim.search.audition import audition, candidates
from onnxtrim.search.budgets import Found, within_budgets
from onnxtrim.search.informed import informed
from onnxtrim.search.lossless import constant_units
from onnxtrim.search.scores import measured_for, scored_by
from onnxtrim.search.sensitivity import allocated, curves_of
from onnxtrim.search.trials import Bench, judge_of
from onnxtrim.selection import (
    Alignment,
    Budget,
    Choice,
    Queue,
    alignments_of,
    choose,
    ladders,
    milliseconds,
    queues_of,
    trimmed,
)
from onnxtrim.subject import Subject

__all__ = ["Decision", "decide", "parts_of"]

_POINTS = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What to remove, and how that came about.

    Attributes:
        choice: the units, and the alignment that they were chosen in.
        scores: by group name.
        measurements: statistics of the activations, where a criterion needed some.
        candidates: what `--criterion auto` tried.
        allocations: the ways to share the budget that were tried.
        latency: the times by which a budget of time was met.
        judge: says how the result does; None without data.
        learning: the samples that were measured, and may be fitted to; None without data.
        held_out: the samples that it judges by, where they are kept apart; None for all.
        warnings: one sentence each.
    """

    choice: Choice
    scores: Mapping[str, Scores]
    measurements: Measurements | None
    candidates: tuple[CandidateRow, ...]
    allocations: tuple[CandidateRow, ...]
    latency: LatencyPair | None
    judge: Judge | None
    learning: Dataset | None
    held_out: Dataset | None
    warnings: tuple[str, ...]


def decide(
    subject: Subject,
    channel_map: ChannelMap,
    config: PruneConfig,
    reading: DataConfig,
    metric: MetricFunction | None,
    clock: Clock,
    progress: Progress | None,
) -> Decision:
    """Returns the units of `channel_map` to remove.

    Raises:
        UsageError: an amount cannot be read, or a criterion has no runtime.
        BudgetError: no plan meets the budgets.
    """
    learning, held_out = parts_of(subject.data, config)
    judge = judge_of(subject, learning if held_out is None else held_out, metric, reading)
    bench = Bench(subject, channel_map, judge, reading)
    alignments, budget = alignments_of(config.align), _budget(bench, config)
    rules = candidates() if config.criterion == "auto" else [CRITERIA[config.criterion]]
    with clock("measure"):
        found = measured_for(bench, rules, learning, progress)
        bench = informed(bench, learning, config, progress)
        if bench.moments and learning is not None:
            found = found or Measurements({}, len(learning), learning.fingerprint)
            found = replace(found, moments=bench.moments)
    with clock("choose"):
        scoring, rows = _scored(bench, found, config, alignments, budget, progress)
        met, ways = _met(bench, scoring, config, alignments, budget, found, progress)
    return Decision(
        choice=met.choice,
        scores=scoring.scores,
        measurements=found,
        candidates=rows,
        allocations=ways,
        latency=met.latency,
        judge=judge,
        learning=learning,
        held_out=held_out,
        warnings=scoring.warnings + _alignment_warnings(met.choice, alignments),
    )


def parts_of(data: Dataset | None, config: PruneConfig) -> tuple[Dataset | None, Dataset | None]:
    """Returns the samples that are measured, and those that drops of the metric are judged by.

    These are None where they are not kept apart: no drop is asked about, or there are too few.
    """
    if data is None or config.max_drop is None:
        return data, None
    learning, held_out = split(data)
    return learning, None if held_out is learning else held_out


def _scored(
    bench: Bench,
    found: Measurements | None,
    config: PruneConfig,
    alignments: Sequence[Alignment],
    budget: Budget,
    progress: Progress | None,
) -> tuple[Scoring, tuple[CandidateRow, ...]]:
    """Returns the scores, and for `auto` the candidates too."""
    if config.criterion != "auto":
        return scored_by(bench, CRITERIA[config.criterion], found, config), ()

    def take(scoring: Scoring) -> Choice:
        return _counted(bench, scoring, config, alignments, budget)

    return audition(bench, found, config, take, progress)


def _met(
    bench: Bench,
    scoring: Scoring,
    config: PruneConfig,
    alignments: Sequence[Alignment],
    budget: Budget,
    found: Measurements | None,
    progress: Progress | None,
) -> tuple[Found, tuple[CandidateRow, ...]]:
    """Returns the units that the scores and the budgets, or a rule, want gone.

    And, where several ways to share the budget were tried, what each did.
    """
    if config.lossless:
        return Found(constant_units(bench, found, config, alignments[0])), ()
    if config.below_std is not None:
        return Found(_trimmed(bench, scoring, config, alignments)), ()

    def meet(queues: Mapping[str, Queue]) -> Found:
        costs = bench.subject.costs
        rungs = ladders(bench.channel_map, queues, costs, config, alignments)
        return within_budgets(bench, rungs, config, budget)

    queues = queues_of(bench.channel_map, scoring.scores, config)
    rows: tuple[CandidateRow, ...] = ()
    way = _way(bench, config)
    if way == "sensitivity":
        curves = curves_of(bench, queues, config, _POINTS, progress)
        queues = allocated(bench, queues, curves, config)
    elif way == "error":
        queues = shared_by_error(bench, queues, scoring.scores, config, progress)
    elif way == "auto":

        def take(queues: dict[str, Queue]) -> Ids:
            return meet(queues).choice.removed

        queues, rows = tried(bench, scoring.scores, config, take, progress)
    return meet(queues), rows


def _way(bench: Bench, config: PruneConfig) -> Allocation:
    """Returns what shares the budget; `auto` where several ways are to be compared.

    They are compared by counted budgets alone: the others are measured, plan by plan.
    """
    if config.allocate != "auto":
        return config.allocate
    if not bench.moments or config.scope == "layer":
        return "scores"
    measured = config.latency is not None or config.max_drop is not None
    return "error" if measured else "auto"


def _counted(
    bench: Bench,
    scoring: Scoring,
    config: PruneConfig,
    alignments: Sequence[Alignment],
    budget: Budget,
) -> Choice:
    """Returns the plan by which criteria are compared: no clock and no metric has a say in it.

    Where only those were asked for, it is the one half way to the thinnest.
    """
    costs = bench.subject.costs
    if not budget.asks and config.ratio is None:
        queues = queues_of(bench.channel_map, scoring.scores, config)
        ladder = ladders(bench.channel_map, queues, costs, config, alignments[:1])[0]
        thinnest = ladder.cost(ladder.widths(ladder.last))
        budget = Budget(macs=(costs.now().macs + thinnest.macs) // 2)
    return choose(bench.channel_map, scoring.scores, costs, config, alignments, budget)


def _trimmed(
    bench: Bench, scoring: Scoring, config: PruneConfig, alignments: Sequence[Alignment]
) -> Choice:
    """Returns what the rule of Network Trimming wants gone.

    Raises:
        BudgetError: no score lies that far below the mean of its group.
    """
    costs = bench.subject.costs
    choice = trimmed(bench.channel_map, scoring.scores, costs, config, alignments[0])
    if not choice.removed.size:
        raise BudgetError(
            f"--below-std {config.below_std:g}: no group has enough scores that far below its mean "
            f"to fill a step of {choice.alignment.step} channels; lower it, or give --align none"
        )
    return choice


def _budget(bench: Bench, config: PruneConfig) -> Budget:
    """Returns the counted budgets in absolute figures.

    Raises:
        UsageError: an amount cannot be read, that of time included.
    """
    if config.latency is not None:
        milliseconds("--latency", config.latency, 1.0)
    subject, now = bench.subject, bench.subject.costs.now()
    overhead = saved_bytes(subject.model) - now.weight_bytes if config.size is not None else 0
    return Budget.of(config, now, subject.bytes, overhead)


def _alignment_warnings(choice: Choice, alignments: Sequence[Alignment]) -> tuple[str, ...]:
    """Returns a warning where the preferred alignment had to give way to the budget."""
    found = choice.alignment
    if found == alignments[0]:
        return ()
    return (
        f"the budget cannot be met in steps of {found.step} channels, which the runtime is fast "
        f"at; groups were cut below that in steps of {found.below}, which saves MACs but no time",
    )
