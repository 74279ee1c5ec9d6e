"""A plan -> the thinner model, proven and measured.

cut -> verify -> compensate -> tune -> evaluate -> report
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnxtrim.calibration import (
    Dataset,
    Evaluation,
    Judge,
    LatencyPair,
    Measurements,
    Progress,
    paired_latency,
)
from onnxtrim.channels import ChannelMap
from onnxtrim.channels.relations import Ids
from onnxtrim.clock import Clock
from onnxtrim.config import DataConfig, PruneConfig
from onnxtrim.errors import (
    BudgetError,
    OnnxtrimError,
    RecoveryError,
    RunError,
    ShapeError,
    VerificationError,
)
from onnxtrim.graph.save import save_apart, saved_bytes
from onnxtrim.graph.shapes import concrete_shapes
from onnxtrim.mend import Mending, mended, mending_of
from onnxtrim.recover import Recovery, recovered
from onnxtrim.report import (
    SCHEMA,
    CandidateRow,
    MetricValue,
    Report,
    Side,
    Step,
    Tuning,
    data_facts,
    environment,
    frozen_rows,
    group_rows,
    side,
    skipped_warnings,
    uncounted_warnings,
)
from onnxtrim.search import Decision
from onnxtrim.selection import (
    Alignment,
    CostModel,
    PrunePlan,
    composed,
    make_plan,
    removed_units,
)
from onnxtrim.subject import Subject
from onnxtrim.surgery import FailedCut, Verification, changes, cut, verify
from onnxtrim.surgery.best import Compensation

__all__ = ["Job", "Origin", "PruneResult", "execute", "finished", "job_of", "timed"]

_SECONDS = 2.0
"""Of timing."""


@dataclass(frozen=True, slots=True)
class PruneResult:
    """A thinner model, proven.

    Attributes:
        model: the model.
        plan: what was cut, to be replayed on another checkpoint.
        report: what it costs, how good it is, and the proof.
        sources: the files that the original was read from; they are never written over.
        untuned: why it was not tuned, where this was asked for; the model is as it was cut then.
        unmet: what was asked and could not be reached, where the model is the best on the way.
        interrupted: whether Ctrl-C has ended it before its time.
    """

    model: ir.Model
    plan: PrunePlan
    report: Report
    sources: tuple[Path, ...] = ()
    untuned: RecoveryError | None = None
    unmet: BudgetError | None = None
    interrupted: bool = False

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Returns `path`, which now holds the model; it appears whole or not at all.

        Raises:
            OutputError: it cannot be written there, or the model was read from there.
        """
        return save_apart(self.model, path, self.sources)


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that several cuts in turn began with: what plans and reports are relative to.

    Attributes:
        subject: the model.
        channel_map: its groups, as far as they may be cut.
        plan: what earlier cuts removed of it.
    """

    subject: Subject
    channel_map: ChannelMap
    plan: PrunePlan


@dataclass(frozen=True, slots=True)
class Job:
    """A decision about a model, and what the report shall say of how it was made.

    Attributes:
        subject: the model.
        channel_map: its groups, as far as they may be cut.
        plan: what stays.
        removed: the units that do not.
        alignment: the steps it was chosen in, if any.
        reading: how the runtime runs.
        settings: all options.
        judge: says how the result does; None without data.
        scores: by group name.
        measurements: statistics of the activations.
        warnings: one sentence each.
        candidates: the criteria that were compared.
        latency: the times of both models, where they were measured already.
        held_out: the samples that the judge has, where they are not all.
        mending: how what is left is compensated for what is gone, if it is.
        recovery: how it learns again, if it does.
        allocations: the ways to share the budget that were compared.
        origin: what earlier cuts began with, where there were any.
        seconds: of timing.
    """

    subject: Subject
    channel_map: ChannelMap
    plan: PrunePlan
    removed: Ids
    alignment: Alignment | None
    reading: DataConfig
    settings: Mapping[str, object]
    judge: Judge | None
    scores: Mapping[str, npt.NDArray[np.float64]] | None = None
    measurements: Measurements | None = None
    warnings: tuple[str, ...] = ()
    candidates: tuple[CandidateRow, ...] = ()
    latency: LatencyPair | None = None
    held_out: Dataset | None = None
    mending: Mending | None = None
    recovery: Recovery | None = None
    allocations: tuple[CandidateRow, ...] = ()
    origin: Origin | None = None
    seconds: float = _SECONDS

    @property
    def first(self) -> Subject:
        """Returns the model that the first cut began with."""
        return self.subject if self.origin is None else self.origin.subject


def job_of(
    subject: Subject,
    channel_map: ChannelMap,
    decision: Decision,
    config: PruneConfig,
    reading: DataConfig,
    settings: Mapping[str, object],
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
        settings=settings,
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


def execute(job: Job, clock: Clock, progress: Progress | None) -> PruneResult:
    """Returns the result of a decision. What keeps it from being tuned loses no pruned model.

    Raises:
        VerificationError: the result could not be proven; it carries a reproducer.
    """
    with clock("cut and verify"):
        thinner, proof = _proven(job)
    plan, removed = _whole_plan(job, thinner)
    with clock("compensate"):
        thinner, compensation = _mended(job, thinner, progress)
    found = finished(job, removed, thinner, proof, clock, progress)
    report = replace(found.report, compensation=compensation)
    return replace(found, plan=plan, report=report)


def finished(
    job: Job,
    removed: Ids,
    thinner: ir.Model,
    proof: Verification,
    clock: Clock,
    progress: Progress | None,
) -> PruneResult:
    """Returns the result of a pruned model: it learns where this is asked for, and is judged.

    `removed` are the units that the first model has lost.
    """
    first, reading = job.first, job.reading
    with clock("evaluate"):
        cut_quality = None if job.judge is None else job.judge(thinner, progress)
    model, tuning, untuned = _recovered(job, thinner, clock)
    with clock("evaluate"):
        quality = cut_quality
        if job.judge is not None and model is not thinner:
            quality = job.judge(model, progress)
    with clock("latency"):
        latency = job.latency or paired_latency(
            first.model, model, first.single_input, threads=reading.threads, seconds=job.seconds
        )
    report = _report(job, model, removed, proof, quality, latency, clock)
    if tuning is not None:
        report = _with_tuning(report, cut_quality, tuning)
    if untuned is not None:
        report = replace(report, warnings=(*report.warnings, str(untuned)))
    interrupted = tuning is not None and tuning.interrupted
    return PruneResult(model, job.plan, report, first.sources, untuned, interrupted=interrupted)


def timed(result: PruneResult, first: Subject, threads: int) -> PruneResult:
    """Returns a result whose report has the times of both models measured anew, at length."""
    latency = paired_latency(first.model, result.model, first.single_input, threads=threads)
    report = replace(
        result.report,
        before=replace(result.report.before, latency_ms=latency.before),
        after=replace(result.report.after, latency_ms=latency.after),
        latency_ratio=latency.ratio,
    )
    return replace(result, report=report)


def _whole_plan(job: Job, thinner: ir.Model) -> tuple[PrunePlan, Ids]:
    """Returns the plan of all cuts together, and the units that it removes of the first model."""
    origin = job.origin
    if origin is None:
        return replace(job.plan, attributes=changes(job.subject.model, thinner)), job.removed
    first, weights = origin.subject, origin.subject.model.graph.initializers
    both = composed(origin.plan, job.plan)
    own = {name: axes for name, axes in both.initializers.items() if name in weights}
    removed = removed_units(first.channel_map, replace(both, initializers=own))
    plan = make_plan(first.channel_map, weights, removed, first.facts.sha256)
    return replace(plan, attributes=changes(first.model, thinner)), removed


def _proven(job: Job) -> tuple[ir.Model, Verification]:
    """Returns the cut model and the proof of it.

    Raises:
        VerificationError: it could not be proven; the error carries a reproducer.
        ModelError: the runtime cannot run the model as it was.
    """
    subject = job.subject
    try:
        thinner = cut(subject.model, job.channel_map, job.plan)
        proof = verify(
            subject.model,
            thinner,
            job.channel_map,
            job.removed,
            subject.proof_inputs,
            subject.proof_samples,
        )
    except (ShapeError, VerificationError) as error:
        failure = VerificationError(str(error))
        failure.reproducer = FailedCut(subject.model, job.plan, subject.proof_inputs)
        raise failure from error
    except RunError as error:
        if subject.data is not None:
            raise
        raise RunError(f"{error}; the inputs were made up, give real ones by --data") from error
    return thinner, proof


def _mended(
    job: Job, thinner: ir.Model, progress: Progress | None
) -> tuple[ir.Model, Compensation | None]:
    """Returns the cut model compensated, and how; as it is where this is not asked for."""
    if job.mending is None:
        return thinner, None
    subject, kept = job.subject, job.channel_map.without(job.removed)
    return mended(subject.model, thinner, kept, job.mending, job.reading, job.judge, progress)


def _recovered(
    job: Job, thinner: ir.Model, clock: Clock
) -> tuple[ir.Model, Tuning | None, RecoveryError | None]:
    """Returns the cut model after it has learned, and what; or as it is, and why it has not."""
    if job.recovery is None:
        return thinner, None, None
    try:
        with clock("tune"):
            model, tuning = recovered(thinner, job.first.facts, job.first, job.recovery)
    except OnnxtrimError as error:
        return thinner, None, RecoveryError(f"pruned, but not tuned: {error}")
    return model, tuning, None


def _with_tuning(report: Report, cut_quality: Evaluation | None, tuning: Tuning) -> Report:
    """Returns the report of a tuned model, with how good it was before."""
    (step,) = report.steps
    metric = None if cut_quality is None else cut_quality.metric
    cut_metric = None if metric is None else MetricValue(metric.name, metric.after)
    return replace(
        report,
        steps=(replace(step, metric=cut_metric, metric_tuned=step.metric),),
        tuning=tuning,
        environment=tuning.environment,
        warnings=report.warnings + tuning.warnings,
    )


def _report(
    job: Job,
    thinner: ir.Model,
    removed: Ids,
    proof: Verification,
    quality: Evaluation | None,
    latency: LatencyPair,
    clock: Clock,
) -> Report:
    """Returns the report; what `after` costs is counted on the result, not predicted."""
    subject = job.first
    channel_map = job.channel_map if job.origin is None else job.origin.channel_map
    counted = CostModel(thinner, concrete_shapes(thinner, subject.single_input)).now()
    metric = None if quality is None else quality.metric
    old = None if metric is None else MetricValue(metric.name, metric.before)
    new = None if metric is None else MetricValue(metric.name, metric.after)
    before: Side = side(subject.costs.now(), subject.bytes, latency.before, old)
    after: Side = side(counted, saved_bytes(thinner), latency.after, new)
    kept = channel_map.without(removed)
    data = subject.data
    groups = group_rows(channel_map, kept, job.alignment, job.scores, job.measurements)
    step = Step(
        params=after.params,
        macs=after.macs,
        metric=new,
        bytes=after.bytes,
        latency_ms=latency.after.median,
        widths={row.name: row.after for row in groups},
    )
    return Report(
        schema=SCHEMA,
        model=subject.facts,
        settings=dict(job.settings),
        before=before,
        after=after,
        latency_ratio=latency.ratio,
        groups=groups,
        frozen=frozen_rows(channel_map),
        steps=(step,),
        agreement=None if quality is None else quality.agreement,
        relative_error=None if quality is None else quality.relative_error,
        verification=proof,
        timings_s={stage: round(spent, 3) for stage, spent in clock.seconds.items()},
        environment=environment(),
        data={} if data is None else data_facts(data, job.held_out),
        warnings=job.warnings + skipped_warnings(data) + uncounted_warnings(subject.costs),
        candidates=job.candidates,
        allocations=job.allocations,
    )
