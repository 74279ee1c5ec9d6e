"""One step of a run: what it removes of what the last one left, and what comes of it.

Its plan, costs and metric are relative to the original.
"""

from dataclasses import dataclass, replace

from onnxtrim.calibration import Progress
from onnxtrim.channels import ChannelMap
from onnxtrim.checks import restricted
from onnxtrim.clock import Clock
from onnxtrim.criteria import CRITERIA
from onnxtrim.errors import BudgetError
from onnxtrim.execute import Job, Origin, PruneResult, execute, job_of
from onnxtrim.recover import Recovery
from onnxtrim.schedule.course import Course
from onnxtrim.schedule.state import State
from onnxtrim.schedule.stride import Stride, ending, lowest, next_stride, spread, units_of
from onnxtrim.search import Bench, Decision, decide, measured_for, scored_by
from onnxtrim.sparsify import sparse_job, sparsify
from onnxtrim.subject import Subject, prepare

__all__ = ["Stepped", "stepped"]

_SECONDS = 0.4
"""Of timing after a step."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What came of a step, and the groups that `spreading` has reached with it."""

    result: PruneResult
    front: tuple[str, ...] = ()


def stepped(
    course: Course, state: State, clock: Clock, progress: Progress | None
) -> Stepped | None:
    """Returns what comes of the next step; None where what was asked is reached.

    Raises:
        BudgetError: nothing more can go.
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    run, config = course.run, course.run.config
    with clock("prepare"):
        subject = prepare(state.model, None, config.reading, beside=run.first)
        subject = replace(subject, data=course.learning)
    if config.pruning.weights is not None:
        return Stepped(_sparser(course, state, subject, clock, progress))
    channel_map = restricted(subject.channel_map, config.pruning)
    channel_map = replace(channel_map, whole=run.whole)
    stride = next_stride(
        course.goal, run.widths, subject, channel_map, config.pruning, config.loop, state.done
    )
    if stride is None:
        return None
    step = _decided(course, state, subject, channel_map, stride, clock, progress)
    return Stepped(execute(_job(course, state, subject, step), clock, progress), step.front)


@dataclass(frozen=True, slots=True)
class _Step:
    """A decision, the groups that it was about, and the front after it."""

    decision: Decision
    channel_map: ChannelMap
    front: tuple[str, ...]


def _decided(
    course: Course,
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
    course: Course, subject: Subject, channel_map: ChannelMap, progress: Progress | None
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
    course: Course, state: State, subject: Subject, clock: Clock, progress: Progress | None
) -> PruneResult:
    """Returns the result of a step with evenly more weights that are 0."""
    run = course.run
    config, share = run.config, (state.done + 1) / run.config.loop.steps
    recovery, plan = _lesson(course, state), state.plan(run.first)
    job = sparse_job(subject, config.reading, run.settings, course.judge, recovery)
    origin = Origin(run.first, job.channel_map, plan)
    job = replace(job, plan=plan, origin=origin, seconds=_SECONDS)
    step = replace(config.pruning, weights=share * (config.pruning.weights or 0.0))
    return sparsify(job, step, clock, progress)


def _lesson(course: Course, state: State) -> Recovery | None:
    """Returns how the model is tuned after the next step: each sees samples in another order.

    What is slimmed before the first step is not slimmed any more.
    """
    recovery = course.run.recovery
    if recovery is None:
        return None
    config = recovery.config
    slim = 0.0 if course.run.config.loop.slim_epochs else config.slim
    return replace(recovery, config=replace(config, seed=config.seed + state.done, slim=slim))


def _job(course: Course, state: State, subject: Subject, step: _Step) -> Job:
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
