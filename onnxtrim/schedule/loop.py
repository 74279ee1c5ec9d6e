"""The loop: measure -> score -> choose -> cut -> compensate -> tune -> evaluate -> decide, again.

Each step is a run of its own that begins with what the last one left, and whose plan, costs and
metric are relative to the original. A step that loses more of the metric than is allowed is not
taken: the result is that of the last one that was. After every step the state is kept, from which a
run that was stopped goes on as if it had not been.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from onnxtrim.calibration import Dataset, Judge, Metric, MetricFunction, Progress
from onnxtrim.channels import ChannelMap
from onnxtrim.checks import restricted
from onnxtrim.clock import Clock
from onnxtrim.criteria import CRITERIA
from onnxtrim.errors import BudgetError
from onnxtrim.execute import Job, Origin, PruneResult, execute, job_of, timed
from onnxtrim.finetune.interrupt import end_asked
from onnxtrim.recover import Recovery, recovered
from onnxtrim.report import MetricValue, Step
from onnxtrim.schedule.budget import Goal, goal_of
from onnxtrim.schedule.config import RunConfig
from onnxtrim.schedule.state import State
from onnxtrim.schedule.stride import Stride, ending, lowest, next_stride, spread, units_of
from onnxtrim.search import (
    Bench,
    Decision,
    decide,
    judge_of,
    measured_for,
    parts_of,
    scored_by,
)
from onnxtrim.selection import PrunePlan
from onnxtrim.sparsify import sparse_job, sparsify
from onnxtrim.subject import Subject, prepare

__all__ = ["Run", "looped"]

_SECONDS = 0.4
"""Of timing after a step."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for.

    Attributes:
        first: the original.
        channel_map: its groups, as far as they may be cut.
        config: all options.
        settings: what the report says of them.
        metric: what results go by, where it is one of the user's own.
        recovery: how cut models are tuned; None where they are not.
    """

    first: Subject
    channel_map: ChannelMap
    config: RunConfig
    settings: Mapping[str, object]
    metric: MetricFunction | None
    recovery: Recovery | None

    @property
    def widths(self) -> dict[str, int]:
        """Returns the widths of the original's groups, by name."""
        return {group.name: group.width for group in self.channel_map.groups}

    @property
    def whole(self) -> dict[tuple[str, int], int]:
        """Returns the widths of the original's axes."""
        return {key: len(units) for key, units in self.first.channel_map.axes.items()}


@dataclass(frozen=True, slots=True)
class _Course:
    """What all steps of a run have in common.

    Attributes:
        run: what was asked for.
        learning: the samples that are measured, and may be fitted to; None without data.
        held_out: the samples that results are judged by, where they are kept apart.
        judge: says how models do next to the original; None without data.
        goal: where the run leads.
    """

    run: Run
    learning: Dataset | None
    held_out: Dataset | None
    judge: Judge | None
    goal: Goal


def _course(run: Run) -> _Course:
    """Returns a run made ready."""
    first, config = run.first, run.config
    learning, held_out = parts_of(first.data, config.pruning)
    data = learning if held_out is None else held_out
    return _Course(
        run=run,
        learning=learning,
        held_out=held_out,
        judge=judge_of(first, data, run.metric, config.reading),
        goal=goal_of(first, units_of(run.channel_map), config.pruning, config.reading.threads),
    )


def looped(
    run: Run,
    state: State,
    keep: Callable[[State], None],
    clock: Clock,
    progress: Progress | None = None,
) -> PruneResult:
    """Returns the result of the last step that was accepted.

    Ctrl-C ends the run after the step that is under way.

    Args:
        run: what was asked for.
        state: what it has come to before.
        keep: called with what it has come to after each step.
        clock: of the stages.
        progress: called with (what, done, total).

    Raises:
        BudgetError: not even the first step was accepted, or could be taken.
        KeyboardInterrupt: Ctrl-C was pressed before any step was accepted.
    """
    course = _course(run)
    with end_asked() as ended:
        if course.run.config.loop.slim_epochs and not state.trained:
            state = _trained(course, state, clock)
            keep(state)
        if progress is not None:
            progress("steps", state.done, run.config.loop.steps)
        while not state.ended and not state.interrupted:
            state = _advanced(course, state, clock, progress)
            if not state.interrupted:  # what was tuned for less is not gone on with
                keep(state)
            if progress is not None:
                progress("steps", state.done, course.run.config.loop.steps)
            if ended():
                state = replace(state, interrupted=True)
    return _finished(course, state, clock)


def _trained(course: _Course, state: State, clock: Clock) -> State:
    """Returns the state after training with L1 on the scales of normalisations.

    Raises:
        KeyboardInterrupt: Ctrl-C has ended the training.
    """
    recovery, first = course.run.recovery, course.run.first
    if recovery is None:
        raise ValueError("training takes a recovery")
    config = replace(recovery.config, epochs=course.run.config.loop.slim_epochs)
    with clock("tune"):
        model, tuning = recovered(first.model, first.facts, first, replace(recovery, config=config))
    if tuning.interrupted:
        raise KeyboardInterrupt
    now = first.costs.now()
    metric = None if course.judge is None else course.judge(model).metric
    row = Step(
        params=now.params,
        macs=now.macs,
        metric=None if metric is None else MetricValue(metric.name, metric.before),
        metric_tuned=None if metric is None else MetricValue(metric.name, metric.after),
        bytes=first.bytes,
        widths=course.run.widths,
    )
    return replace(state, model=model, rows=(row,), trained=True)


def _advanced(course: _Course, state: State, clock: Clock, progress: Progress | None) -> State:
    """Returns the state after one more step, or the same with why there is none."""
    config = course.run.config
    loop, pruning, reading = config.loop, config.pruning, config.reading
    if state.done == loop.steps:
        return replace(state, ended=f"all {loop.steps} steps were taken")
    with clock("prepare"):
        subject = prepare(state.model, None, reading, beside=course.run.first)
        subject = replace(subject, data=course.learning)
    if pruning.weights is not None:
        return _judged(course, state, _sparser(course, state, subject, clock, progress))
    with clock("prepare"):
        channel_map = restricted(subject.channel_map, pruning)
        channel_map = replace(channel_map, whole=course.run.whole)
    stride = next_stride(
        course.goal, course.run.widths, subject, channel_map, pruning, loop, state.done
    )
    if stride is None:
        return replace(state, ended="what was asked is reached")
    try:
        step = _decided(course, state, subject, channel_map, stride, clock, progress)
    except BudgetError as error:
        return replace(state, ended=str(error))
    result = execute(_job(course, state, subject, step), clock, progress)
    return _judged(course, replace(state, front=step.front), result)


@dataclass(frozen=True, slots=True)
class _Step:
    """A decision, the groups that it was about, and the front after it."""

    decision: Decision
    channel_map: ChannelMap
    front: tuple[str, ...]


def _decided(
    course: _Course,
    state: State,
    subject: Subject,
    channel_map: ChannelMap,
    stride: Stride,
    clock: Clock,
    progress: Progress | None,
) -> _Step:
    """Returns what a step removes.

    Raises:
        BudgetError: nothing more can go.
    """

    def step(stride: Stride, front: tuple[str, ...] = ()) -> _Step:
        names = stride.groups
        limited = channel_map if names is None else channel_map.limited_to(names)
        if not limited.groups:
            raise BudgetError("there is no group left to cut")
        decision = decide(
            subject, limited, stride.config, course.run.config.reading, None, clock, progress
        )
        return _Step(decision, limited, front)

    loop = course.run.config.loop
    if loop.order == "spreading":
        front = state.front or _start(course, subject, channel_map, progress)
        while True:
            wider = spread(channel_map, front)
            try:
                return step(replace(stride, groups=front), wider)
            except BudgetError:
                if wider == front:
                    raise
                front = wider
    found = step(stride)
    if loop.order == "together" and loop.per_step is not None and course.goal.asks:
        left = channel_map.without(found.decision.choice.removed)
        units = units_of(channel_map) - len(found.decision.choice.removed)
        if course.goal.passed(subject.costs.after(left), units):
            return step(ending(course.goal, channel_map, course.run.config.pruning))
    return found


def _start(
    course: _Course, subject: Subject, channel_map: ChannelMap, progress: Progress | None
) -> tuple[str, ...]:
    """Returns the groups that spreading starts from: those with the lowest mean score."""
    pruning = course.run.config.pruning
    if pruning.criterion == "auto":
        raise ValueError("spreading goes by one criterion")
    bench = Bench(subject, channel_map, None, course.run.config.reading)
    rule = CRITERIA[pruning.criterion]
    found = measured_for(bench, [rule], course.learning, progress)
    scoring = scored_by(bench, rule, found, pruning)
    return lowest(scoring.scores, course.run.config.loop.start)


def _sparser(
    course: _Course, state: State, subject: Subject, clock: Clock, progress: Progress | None
) -> PruneResult:
    """Returns the result of a step with evenly more weights that are 0."""
    run = course.run
    config, share = run.config, (state.done + 1) / run.config.loop.steps
    recovery = _lesson(course, state)
    job = sparse_job(subject, config.reading, run.settings, course.judge, recovery)
    job = replace(
        job,
        origin=Origin(run.first, job.channel_map, PrunePlan(run.first.facts.sha256)),
        seconds=_SECONDS,
    )
    step = replace(config.pruning, weights=share * (config.pruning.weights or 0.0))
    result = sparsify(job, step, clock, progress)
    return replace(result, plan=PrunePlan(run.first.facts.sha256))


def _lesson(course: _Course, state: State) -> Recovery | None:
    """Returns how the model is tuned after the next step; each sees samples in another order."""
    recovery = course.run.recovery
    if recovery is None:
        return None
    tuning = replace(recovery.config, seed=recovery.config.seed + state.done, slim=0.0)
    return replace(recovery, config=tuning)


def _job(course: _Course, state: State, subject: Subject, step: _Step) -> Job:
    """Returns what is to be done about the decision of a step."""
    config = course.run.config
    job = job_of(
        subject,
        step.channel_map,
        step.decision,
        replace(config.pruning, max_drop=None),
        config.reading,
        course.run.settings,
    )
    return replace(
        job,
        judge=course.judge,
        held_out=course.held_out,
        recovery=_lesson(course, state),
        latency=None,
        origin=Origin(course.run.first, course.run.channel_map, state.plan(course.run.first)),
        seconds=_SECONDS,
    )


def _judged(course: _Course, state: State, result: PruneResult) -> State:
    """Returns the state after a step with this result."""
    most, report = course.run.config.pruning.max_drop, result.report
    old, new = report.before.metric, report.after.metric
    lost = 0.0 if old is None or new is None else Metric(new.name, old.value, new.value).drop
    accepted = most is None or lost <= most
    done = state.done + 1
    row = replace(report.steps[0], accepted=accepted)
    interrupted = report.tuning is not None and report.tuning.interrupted
    after = replace(state, rows=(*state.rows, row), done=done, interrupted=interrupted)
    if not accepted:
        ended = f"step {done} loses {lost:.4g} of the metric, more than --max-drop {most:g}"
        return replace(after, ended=ended)
    ended = "" if result.untuned is None else str(result.untuned)
    return replace(after, model=result.model, best=result, ended=ended)


def _finished(course: _Course, state: State, clock: Clock) -> PruneResult:
    """Returns the result of the last step that was accepted, with the rows of all.

    Raises:
        BudgetError: none was.
        KeyboardInterrupt: none was yet.
    """
    best = state.best
    if best is None:
        if state.interrupted:
            raise KeyboardInterrupt
        raise BudgetError(f"no step was taken: {state.ended}")
    with clock("latency"):
        best = timed(best, course.run.first, course.run.config.reading.threads)
    unmet = None if state.interrupted else _unmet(course, state)
    warnings = best.report.warnings if unmet is None else (*best.report.warnings, str(unmet))
    report = replace(
        best.report,
        steps=state.rows,
        warnings=warnings,
        timings_s={stage: round(spent, 3) for stage, spent in clock.seconds.items()},
    )
    return replace(best, report=report, unmet=unmet, interrupted=state.interrupted)


def _unmet(course: _Course, state: State) -> BudgetError | None:
    """Returns what was asked and is not reached, None where all is."""
    goal = course.goal
    if not goal.asks or course.run.config.loop.order == "in-turn":
        return None
    subject = prepare(state.model, None, course.run.config.reading, beside=course.run.first)
    if goal.met(subject, units_of(restricted(subject.channel_map, course.run.config.pruning))):
        return None
    return BudgetError(
        f"the budget was not reached: {state.ended}; the result is that of the last step before"
    )
