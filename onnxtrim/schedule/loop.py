"""The loop: measure -> score -> choose -> cut -> compensate -> tune -> evaluate -> decide, again.

A step that loses more of the metric than is allowed is not taken: the result is that of the last
one that was. After every step the state is kept, from which a run that was stopped goes on as if it
had not been.
"""

from collections.abc import Callable
from dataclasses import replace

from onnxtrim.calibration import Metric, Progress
from onnxtrim.checks import restricted
from onnxtrim.clock import Clock
from onnxtrim.errors import BudgetError
from onnxtrim.execute import PruneResult, timed
from onnxtrim.finetune.interrupt import end_asked
from onnxtrim.recover import recovered
from onnxtrim.report import MetricValue, Step
from onnxtrim.schedule.course import Course, Run, course_of
from onnxtrim.schedule.state import State
from onnxtrim.schedule.step import stepped
from onnxtrim.schedule.stride import units_of
from onnxtrim.subject import prepare

__all__ = ["looped"]


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
    course = course_of(run)
    with end_asked() as ended:
        if run.config.loop.slim_epochs and not state.trained:
            state = _trained(course, state, clock)
            keep(state)
        if progress is not None:
            progress("steps", state.done, run.config.loop.steps)
        while not state.ended and not state.interrupted:
            state = _advanced(course, state, clock, progress)
            if not state.interrupted:  # what was tuned for less is not gone on with
                keep(state)
            if progress is not None:
                progress("steps", state.done, run.config.loop.steps)
            if ended():
                state = replace(state, interrupted=True)
    return _finished(course, state, clock)


def _trained(course: Course, state: State, clock: Clock) -> State:
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


def _advanced(course: Course, state: State, clock: Clock, progress: Progress | None) -> State:
    """Returns the state after one more step, or the same with why there is none."""
    steps = course.run.config.loop.steps
    if state.done == steps:
        return replace(state, ended=f"all {steps} steps were taken")
    try:
        step = stepped(course, state, clock, progress)
    except BudgetError as error:
        return replace(state, ended=str(error))
    if step is None:
        return replace(state, ended="what was asked is reached")
    return _judged(course, replace(state, front=step.front), step.result)


def _judged(course: Course, state: State, result: PruneResult) -> State:
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


def _finished(course: Course, state: State, clock: Clock) -> PruneResult:
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


def _unmet(course: Course, state: State) -> BudgetError | None:
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
